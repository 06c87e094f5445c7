// How the page is built, served while it is worked on, and tested.
import { defineConfig } from "vitest/config";

// While developing, the page comes from here and everything else from a running server on its usual port.
const server = "http://127.0.0.1:8000";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", outDir: "dist", emptyOutDir: true, sourcemap: false, assetsInlineLimit: 0 },
  server: { host: "127.0.0.1", proxy: { "/api": server, "/v1": server } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
