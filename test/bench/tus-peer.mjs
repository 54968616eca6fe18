// The peer of the bench of uploads: @tus/server with its FileStore, and tus-js-client.
//   tus-peer.mjs MODULES server DIR                         prints its port
//   tus-peer.mjs MODULES client PORT FILE PART plain|digest prints {"id", "s"}: seconds without node's own start
//
// As durable as ours: a part is on the disk before it is acknowledged. With digests the client reads the file once
// for its SHA-256 and sends it as metadata; the server hashes what it receives and refuses another one at the end.
// FileStore cannot join uploads, so tus sends one part after the other.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import stream from "node:stream/promises";
import { pathToFileURL } from "node:url";

const [modules, role, ...words] = process.argv.slice(2);
const load = (name, file) => import(pathToFileURL(path.join(modules, name, file)));

async function server(dir) {
  const { Server } = await load("@tus/server", "dist/index.js");
  const { FileStore } = await load("@tus/file-store", "dist/index.js");
  const hashes = new Map();

  class Durable extends FileStore {
    async write(readable, id, offset) {
      const { metadata } = await this.configstore.get(id);
      if (metadata?.sha256 && offset === 0) hashes.set(id, crypto.createHash("sha256"));
      const hash = hashes.get(id);
      const file = fs.createWriteStream(path.join(dir, id), { flags: "r+", start: offset, flush: false });
      let n = 0;
      await stream.pipeline(readable, async function* (source) {
        for await (const piece of source) {
          n += piece.length;
          hash?.update(piece);
          yield piece;
        }
      }, file);
      const fd = await fs.promises.open(path.join(dir, id), "r+");
      await fd.datasync();
      await fd.close();
      return offset + n;
    }
  }

  const tus = new Server({
    path: "/files", datastore: new Durable({ directory: dir }),
    async onUploadFinish(req, upload) {
      const hash = hashes.get(upload.id);
      hashes.delete(upload.id);
      if (hash && hash.digest("hex") !== upload.metadata.sha256) throw { status_code: 460, body: "another digest\n" };
      return {};
    },
  });
  const s = http.createServer((req, res) => tus.handle(req, res));
  s.listen(0, "127.0.0.1", () => console.log(s.address().port));
}

async function client(port, file, part, mode) {
  const tus = createRequire(path.join(modules, "x"))("tus-js-client");
  const begin = process.hrtime.bigint();
  const metadata = { filename: path.basename(file) };
  if (mode === "digest") {
    const hash = crypto.createHash("sha256");
    for await (const piece of fs.createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(piece);
    metadata.sha256 = hash.digest("hex");
  }
  const upload = new tus.Upload(fs.createReadStream(file), {
    endpoint: `http://127.0.0.1:${port}/files`, chunkSize: +part, uploadSize: fs.statSync(file).size, metadata, retryDelays: null,
    onError(e) {
      console.error(e.message);
      process.exit(1);
    },
    onSuccess() {
      console.log(JSON.stringify({ id: upload.url.split("/").pop(), s: Number(process.hrtime.bigint() - begin) / 1e9 }));
      process.exit(0);
    },
  });
  upload.start();
}

await (role === "server" ? server(...words) : client(...words));
