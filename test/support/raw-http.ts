// HTTP as bytes, so that a test can send what no client would; signed by aws4, which knows nothing of this project.
import { connect, type Socket } from 'node:net';
import aws4 from 'aws4';

export interface RawRequest {
  readonly method: string;
  readonly path: string;
  /** In this order, names as written; a name may stand twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

export interface SignOptions {
  readonly endpoint: URL;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly region?: string;
  readonly service?: string;
  /** Undefined: no X-Amz-Target. */
  readonly target: string | undefined;
  readonly body: string | Buffer;
  /** Signed with the rest. X-Amz-Date sets the time. */
  readonly headers?: Readonly<Record<string, string>>;
  /** In two chunks, whose length is not stated. */
  readonly chunked?: boolean;
}

/** A header-signed POST to / as the AWS CLI makes it, on a connection that closes after it. */
export function signed(options: SignOptions): RawRequest {
  const { endpoint, credentials, region = 'us-east-1', service = 'kms', target, body, headers = {} } = options;
  const bytes = Buffer.from(body);
  const toSign = {
    host: endpoint.host,
    method: 'POST',
    path: '/',
    service,
    region,
    // It hashes bytes just as well.
    body: bytes as unknown as string,
    headers: {
      'Content-Type': 'application/x-amz-json-1.1',
      ...(target === undefined ? {} : { 'X-Amz-Target': target }),
      ...headers,
    },
    extraHeadersToIgnore: options.chunked === true ? { 'content-length': true } : {},
  };
  const list = Object.entries(aws4.sign(toSign, { ...credentials }).headers ?? {})
    .map(([name, value]) => [name, String(value)] as const)
    .filter(([name]) => options.chunked !== true || name !== 'Content-Length');
  const closing: RawRequest['headers'] = [...list, ['Connection', 'close']];
  if (options.chunked !== true) return { method: 'POST', path: '/', headers: closing, body: bytes };
  return { method: 'POST', path: '/', headers: [...closing, ['Transfer-Encoding', 'chunked']], body: inChunks(bytes) };
}

function inChunks(bytes: Buffer): Buffer {
  const middle = Math.ceil(bytes.length / 2);
  const chunk = (part: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
  return Buffer.concat([chunk(bytes.subarray(0, middle)), chunk(bytes.subarray(middle)), Buffer.from('0\r\n\r\n')]);
}

export const withHeader = (request: RawRequest, name: string, value: string): RawRequest => ({
  ...request,
  headers: [...request.headers, [name, value]],
});

export const changingHeader = (request: RawRequest, name: string, change: (value: string) => string): RawRequest => ({
  ...request,
  headers: request.headers.map(([each, value]) => [each, each === name ? change(value) : value] as const),
});

export function bytesOf({ method, path, headers, body }: RawRequest): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`, 'latin1'), body]);
}

/** Sends it on a connection of its own and reads to the end. Throws when what comes back is not one whole HTTP answer. */
export async function exchange(endpoint: URL, request: RawRequest | Buffer): Promise<RawAnswer> {
  const bytes = await converse(endpoint, (socket) => {
    socket.write(Buffer.isBuffer(request) ? request : bytesOf(request));
  });
  return parseAnswer(bytes);
}

/** Opens a connection, lets `talk` write, and resolves with all the server said until it closed. */
export function converse(endpoint: URL, talk: (socket: Socket) => void): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(endpoint.port), endpoint.hostname, () => talk(socket));
    // A reset is an end too: what was said before counts.
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks)));
  });
}

export function parseAnswer(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf('\r\n\r\n');
  const [first = '', ...lines] = bytes.toString('latin1', 0, Math.max(end, 0)).split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1];
  if (status === undefined) throw new Error(`not an HTTP answer: ${JSON.stringify(bytes.toString('latin1', 0, 200))}`);
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
  const text = bytes.toString('utf8', end + 4);
  const length = headers.get('content-length');
  if (length !== undefined && Buffer.byteLength(text) !== Number(length)) {
    throw new Error(`${Buffer.byteLength(text)} of ${length} bytes came: ${text.slice(0, 200)}`);
  }
  return { status: Number(status), headers, text };
}
