// Uploads by tus-js-client, the client library that most pages use: whole, in chunks, interrupted and resumed, terminated.
//
//   node upload.js ENDPOINT [NAME...]
//
// ENDPOINT is the URL that uploads are created at; a NAME runs that case alone. A line on stdout is one case, as JSON:
// its name, the upload's URL, the size and SHA-256 of what was sent, the `X-File-Id` of the last answer that had one, the
// offsets that the server named, and how it ended (`completed`, `terminated`, `failed`). The exit code is 1 if one failed.
const crypto = require('node:crypto');
const http = require('node:http');
const tus = require('tus-js-client');

const KIB = 1024;
const MIB = 1024 * KIB;
// Long enough for a server to notice that the connection of the interrupted request has gone.
const RETRY_DELAYS = [50, 100, 200, 400, 800, 1600, 3200];

const [endpoint, ...wanted] = process.argv.slice(2);

/** Makes bytes that depend on the name and size alone, and look random. */
function content(name, size) {
  const key = crypto.createHash('sha256').update(name).digest();
  return crypto.createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

const sha256 = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');

/** Runs an upload until it has succeeded, or until `stop` says that it is to be aborted. */
function run(bytes, seen, options, stop = () => false) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(bytes, {
      endpoint,
      retryDelays: RETRY_DELAYS,
      ...options,
      onAfterResponse: (request, response) => {
        seen.requests.push(`${request.getMethod()} ${response.getStatus()}`);
        seen.fileId = response.getHeader('x-file-id') ?? seen.fileId;
        const offset = response.getHeader('upload-offset');
        if (offset !== undefined && offset !== null) seen.offsets.push(Number(offset));
      },
      onError: reject,
      onSuccess: () => resolve(upload),
      onChunkComplete: (_, accepted) => {
        if (stop(accepted)) upload.abort().then(() => resolve(upload), reject);
      },
    });
    upload.start();
  });
}

const whole = (size, options = {}) => async (name, seen) => {
  const upload = await run(content(name, size), seen, options);
  return { url: upload.url, ended: 'completed' };
};

/** Aborts once `stop` says so, then continues with another client object, which knows nothing but the URL. */
const resumed = (size, options, stop) => async (name, seen) => {
  const bytes = content(name, size);
  const first = await run(bytes, seen, options, stop);
  if (!first.url) throw new Error('aborted before there was a URL');
  const last = await run(bytes, seen, { ...options, uploadUrl: first.url });
  return { url: last.url, ended: 'completed' };
};

const terminated = (size, options, stop) => async (name, seen) => {
  const first = await run(content(name, size), seen, options, stop);
  await tus.Upload.terminate(first.url, { retryDelays: RETRY_DELAYS });
  const after = await fetch(first.url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
  if (![404, 410].includes(after.status)) throw new Error(`HEAD after the end: ${after.status}`);
  return { url: first.url, ended: 'terminated' };
};

/** Opens connections; the first one that sends more bytes than that is cut there. */
class CuttingAgent extends http.Agent {
  constructor(bytes) {
    super({ keepAlive: false });
    this.bytes = bytes;
    this.cuts = 0;
  }

  createConnection(options, callback) {
    const socket = super.createConnection(options, callback);
    const write = socket.write.bind(socket);
    let written = 0;
    let isCut = false;
    socket.write = (data, encoding, done) => {
      // What follows in the request must not get through.
      if (isCut) return false;
      const bytes = typeof data === 'string' ? Buffer.from(data, encoding) : data;
      const left = this.bytes - written;
      written += bytes.length;
      if (this.cuts > 0 || bytes.length <= left) return write(data, encoding, done);
      this.cuts += 1;
      isCut = true;
      return write(bytes.subarray(0, left), () => socket.destroy(new Error('cut')));
    };
    return socket;
  }
}

/** Loses the connection after so many bytes; the client asks for the offset and continues by itself. */
const cut = (size, bytes, options = {}) => async (name, seen) => {
  const agent = new CuttingAgent(bytes);
  const httpStack = new tus.DefaultHttpStack({ agent });
  const upload = await run(content(name, size), seen, { ...options, httpStack });
  if (agent.cuts !== 1) throw new Error('the connection was not cut');
  return { url: upload.url, ended: 'completed' };
};

const METADATA = {
  filename: 'Größe & Co – 見積書 😀.txt',
  filetype: 'text/plain',
  title: 'An offer',
  folder: 'offers',
  tags: 'new',
};

const acceptedAtLeast = (bytes) => (accepted) => accepted >= bytes;

// Name, size, how it is run, and the extension of the protocol without which it can't be.
const cases = [
  ['empty', 0, whole(0)],
  ['one byte', 1, whole(1)],
  ['5 MiB', 5 * MIB, whole(5 * MIB)],
  ['12 MiB', 12 * MIB, whole(12 * MIB)],
  ['one byte, with metadata', 1, whole(1, { metadata: METADATA })],
  ['5 MiB, with metadata', 5 * MIB, whole(5 * MIB, { metadata: METADATA })],
  ['one byte, at creation', 1, whole(1, { uploadDataDuringCreation: true }), 'creation-with-upload'],
  ['5 MiB, at creation', 5 * MIB, whole(5 * MIB, { uploadDataDuringCreation: true }), 'creation-with-upload'],
  [
    '12 MiB in chunks of 5 MiB, the first at creation',
    12 * MIB,
    whole(12 * MIB, { uploadDataDuringCreation: true, chunkSize: 5 * MIB }),
    'creation-with-upload',
  ],
  [
    '12 MiB, resumed after 4 chunks',
    12 * MIB,
    resumed(12 * MIB, { chunkSize: MIB }, acceptedAtLeast(4 * MIB)),
  ],
  [
    '5 MiB, resumed after one chunk of 256 KiB',
    5 * MIB,
    resumed(5 * MIB, { chunkSize: 256 * KIB }, acceptedAtLeast(256 * KIB)),
  ],
  ['12 MiB, cut after 64 KiB', 12 * MIB, cut(12 * MIB, 64 * KIB)],
  ['12 MiB, cut after 3 MiB', 12 * MIB, cut(12 * MIB, 3 * MIB)],
  ['12 MiB, cut after 5 MiB and a bit', 12 * MIB, cut(12 * MIB, 5 * MIB + 1234)],
  ['12 MiB, cut after 9 MiB', 12 * MIB, cut(12 * MIB, 9 * MIB)],
  ['12 MiB in chunks of 6 MiB, the first cut', 12 * MIB, cut(12 * MIB, 5 * MIB + 1234, { chunkSize: 6 * MIB })],
  [
    '12 MiB, terminated after 2 chunks',
    12 * MIB,
    terminated(12 * MIB, { chunkSize: MIB }, acceptedAtLeast(2 * MIB)),
    'termination',
  ],
  [
    '12 MiB, terminated after a chunk of 6 MiB',
    12 * MIB,
    terminated(12 * MIB, { chunkSize: 6 * MIB }, acceptedAtLeast(6 * MIB)),
    'termination',
  ],
  [
    '5 MiB of a length told last',
    5 * MIB,
    whole(5 * MIB, { uploadLengthDeferred: true, chunkSize: MIB }),
    'creation-defer-length',
  ],
  ['12 MiB in two parallel uploads', 12 * MIB, whole(12 * MIB, { parallelUploads: 2 }), 'concatenation'],
];
for (const size of [5, 12]) {
  for (const [chunk, chunkSize] of [['256 KiB', 256 * KIB], ['1 MiB', MIB], ['6 MiB', 6 * MIB]]) {
    cases.push([`${size} MiB in chunks of ${chunk}`, size * MIB, whole(size * MIB, { chunkSize })]);
  }
}

async function main() {
  const unknown = wanted.filter((name) => !cases.some(([known]) => known === name));
  if (!endpoint || unknown.length > 0) {
    throw new Error(`usage: upload.js ENDPOINT [NAME...]${unknown.map((name) => `; no case: ${name}`).join('')}`);
  }
  const offered = await fetch(endpoint, { method: 'OPTIONS' });
  const extensions = (offered.headers.get('tus-extension') ?? '').split(',').map((name) => name.trim());
  for (const [name, size, perform, extension] of cases) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (extension && !extensions.includes(extension)) continue;
    const seen = { fileId: null, offsets: [], requests: [] };
    let end;
    try {
      end = await perform(name, seen);
    } catch (error) {
      end = { url: null, ended: 'failed', error: String(error) };
      process.exitCode = 1;
    }
    console.log(JSON.stringify({ name, size, sha256: sha256(content(name, size)), ...seen, ...end }));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
