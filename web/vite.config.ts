// How the page is built, served while it is worked on, and tested.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// While developing, the page comes from here and everything else from a running server on its usual port.
const server = "http://127.0.0.1:8000";

/** The service worker, told which files make up the page. */
function shellWorker(): Plugin {
  const worker = new URL("src/shell_worker.js", import.meta.url);
  return {
    name: "shell-worker",
    apply: "build",
    generateBundle(_, bundle) {
      const assets = Object.keys(bundle).filter((name) => name.startsWith("assets/"));
      const files = ["/", "/icon.svg", "/icon-192.png", "/manifest.json", ...assets.map((name) => `/${name}`)].sort();
      // Assets carry their content's hash in their names; the page itself changes with them.
      const hash = createHash("sha256").update(files.join()).update(readFileSync(worker)).digest("hex").slice(0, 12);
      const source = readFileSync(worker, "utf8").replace("__FILES__", JSON.stringify(files)).replace("__HASH__", hash);
      this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
  };
}

export default defineConfig({
  plugins: [shellWorker()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", outDir: "dist", emptyOutDir: true, sourcemap: false, assetsInlineLimit: 0 },
  server: {
    host: "127.0.0.1",
    proxy: { "/api": server, "/v1": server, "/login": server, "/logout": server, "/session": server },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
