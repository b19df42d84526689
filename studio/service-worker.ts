// Keeps the studio's own files, so that it opens without a network. Weights are the package's affair: they
// are in Cache Storage already. Built by `write-service-worker.ts`, which fills in the two constants.
//
// The page itself is asked for anew whenever there is a network, and names its scripts by what they hold:
// nobody sees an old studio after an update. A new version takes over once no tab has the old one open, whose
// files are still needed there.

/** Paths of files, from the folder that this script is in. */
interface Files {
  /** Kept at the first visit. */
  now: readonly string[];
  /** Kept when they are first asked for: what not every browser needs. */
  later: readonly string[];
}

declare const FILES: Files;
/** Another one for other files. */
declare const VERSION: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const folder = worker.registration.scope;
// Studios in other folders of this origin have caches of their own.
const PREFIX = `groupvit-studio ${folder} `;
const NAME = PREFIX + VERSION;
const kept = new Set([...FILES.now, ...FILES.later].map((path) => new URL(path, folder).href));

worker.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll([...FILES.now])));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([dropOthers(), worker.clients.claim()]));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const address = request.url.replace(/[?#].*$/, "");
  if (request.mode === "navigate" && address === folder) event.respondWith(page(request));
  else if (kept.has(address)) event.respondWith(file(request, address));
});

async function dropOthers(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== NAME) await caches.delete(name);
  }
}

async function page(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    const found = await (await caches.open(NAME)).match(folder);
    if (found) return found;
    throw error;
  }
}

async function file(request: Request, address: string): Promise<Response> {
  const cache = await caches.open(NAME);
  const found = await cache.match(address);
  if (found) return found;
  const response = await fetch(request);
  // Without room it works as it does without a service worker.
  if (response.ok) await cache.put(address, response.clone()).catch(() => {});
  return response;
}
