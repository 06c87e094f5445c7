// The service worker: keeps the files of the page, so that it shows itself without a network. Nothing else is kept and
// no other request is touched: not REST, not audio, not the server's own forms.
//
// The build puts the names of the files and a hash of them in the place of the two words in capitals.

const FILES = __FILES__;
const CACHE = "segue-shell-__HASH__";
/** A network that takes longer than this to bring the page is as good as none. */
const PATIENCE_MS = 3_000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith("segue-shell-") && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (request.mode === "navigate") {
    if (url.pathname === "/") event.respondWith(page(request));
  } else if (url.pathname.startsWith("/assets/")) {
    // Named by their content: what is kept is what the server has, whoever asks (it varies its headers by origin).
    event.respondWith(caches.match(request, { ignoreVary: true }).then((kept) => kept ?? fetch(request)));
  }
});

/** The server's if it comes, else the one that is kept. */
async function page(request) {
  const kept = await caches.match("/");
  if (kept === undefined) return fetch(request);
  const late = new Promise((resolve) => setTimeout(() => resolve(kept), PATIENCE_MS));
  const fresh = fetch(request).catch(() => kept);
  return Promise.race([fresh, late]);
}
