// Keeps nothing: live data must never come from a cache. It is here so that the app can be installed.
self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
