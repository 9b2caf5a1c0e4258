// AWS's JSON 1.1 protocol on node:http: one POST to /, the operation in X-Amz-Target. Bounded in size, time and number; what it cannot
// take in travels the line all the same, so that it is refused in AWS's words and audited.
import { isUtf8 } from 'node:buffer';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { BridgeError, type ErrorCode } from '../../kernel/errors.js';
import type { AnyOperation } from '../../operations/define.js';
import { operations } from '../../operations/index.js';
import { perform, type Incoming, type Line, type Outcome } from '../../pipeline/perform.js';
import { errorBody, statusOf } from './errors.js';

export interface AwsJsonOptions {
  readonly line: Line;
  /** Told of each call as it comes in, and of its end with the registry's name of its operation or `unknown`. */
  readonly started: () => void;
  readonly ended: (operation: string, outcome: ErrorCode | 'OK') => void;
}

const maxBodyBytes = 1_048_576;
const maxInFlight = 4096;
/** All bodies that are being received: nobody is authenticated before his body is there. */
const maxReceivingBytes = 64 * 1_048_576;
const maxConnections = 10_000;
const target = /^TrentService\.([A-Za-z]{1,64})$/;
const contentType = 'application/x-amz-json-1.1';
const noBody = Buffer.alloc(0);

/** What is being received and answered at the moment. */
interface Load {
  receivingBytes: number;
  inFlight: number;
}

export function createAwsJsonServer(options: AwsJsonOptions): Server {
  const load: Load = { receivingBytes: 0, inFlight: 0 };
  const server = createServer(
    { maxHeaderSize: 16_384, requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 75_000, noDelay: true },
    (request, response) => {
      takeIn(request, load, (body, refusal) => {
        // Not before: a client that goes away while it sends makes no call, and nothing would end it.
        options.started();
        load.inFlight += 1;
        void answer(options, request, response, body, refusal).finally(() => (load.inFlight -= 1));
      });
    },
  );
  server.maxConnections = maxConnections;
  return server;
}

/** Reads the body; gives up on it, without reading on, when it or the load is too large. Calls `done` once, or never when the client left. */
function takeIn(request: IncomingMessage, load: Load, done: (body: Buffer, refusal?: BridgeError) => void): void {
  if (load.inFlight >= maxInFlight) {
    done(noBody, throttled());
    return;
  }
  let size = 0;
  let body: Buffer = noBody;
  let more: Buffer[] | undefined;
  const refuse = (refusal: BridgeError): void => {
    request.removeAllListeners('data').removeAllListeners('end').pause();
    more = undefined;
    done(noBody, refusal);
  };
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    load.receivingBytes += chunk.length;
    if (size > maxBodyBytes)
      refuse(new BridgeError('RequestEntityTooLargeException', 'The request is larger than 1 MiB.'));
    else if (load.receivingBytes > maxReceivingBytes) refuse(throttled());
    else if (body === noBody) body = chunk;
    else (more ??= []).push(chunk);
  });
  request.on('end', () => done(more === undefined ? body : Buffer.concat([body, ...more])));
  request.on('close', () => (load.receivingBytes -= size));
}

const throttled = (): BridgeError => new BridgeError('ThrottlingException', 'Rate exceeded');

async function answer(
  options: AwsJsonOptions,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  refusal: BridgeError | undefined,
): Promise<void> {
  const { rawHeaders } = request;
  const operationName = target.exec(headerOf(rawHeaders, 'x-amz-target') ?? '')?.[1];
  const incoming: Incoming = {
    request: { method: request.method ?? '', url: request.url ?? '', rawHeaders, body },
    sourceIp: request.socket.remoteAddress ?? 'unknown',
    userAgent: headerOf(rawHeaders, 'user-agent') ?? '',
    operationName,
    ...(refusal === undefined ? {} : { refusal }),
    operation: (caller) => operationOf(caller.service, operationName),
    json: () => parseJson(body),
  };
  const outcome = await perform(options.line, incoming);
  const known = operationName !== undefined && operations.has(operationName) ? operationName : 'unknown';
  options.ended(known, 'error' in outcome ? outcome.error.code : 'OK');
  send(response, outcome, refusal !== undefined);
}

function send(response: ServerResponse, outcome: Outcome, close: boolean): void {
  const failed = 'error' in outcome;
  const text = failed ? errorBody(outcome.error) : outcome.output === undefined ? '' : encode(outcome.output);
  const headers = [
    'Content-Type',
    contentType,
    'Content-Length',
    String(Buffer.byteLength(text)),
    'x-amzn-RequestId',
    outcome.requestId,
  ];
  if (close) headers.push('Connection', 'close');
  response.writeHead(failed ? statusOf(outcome.error.code) : 200, headers);
  response.end(text);
}

/** The first of that name. Making Node's headers object would cost more than all the rest here. */
function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const candidate = rawHeaders[i] ?? '';
    if (candidate.length === name.length && candidate.toLowerCase() === name) return rawHeaders[i + 1];
  }
  return undefined;
}

function operationOf(service: string, name: string | undefined): AnyOperation {
  const operation = service === 'kms' && name !== undefined ? operations.get(name) : undefined;
  if (operation === undefined) throw new BridgeError('UnknownOperationException');
  return operation;
}

function parseJson(body: Buffer): unknown {
  if (!isUtf8(body)) throw new BridgeError('SerializationException', 'The request is not valid UTF-8.');
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new BridgeError('SerializationException', 'The request is not valid JSON.');
  }
}

/** Blobs are base64; they stand at the top level of every output that has any. */
function encode(output: object): string {
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(output))
    members[name] = Buffer.isBuffer(value) ? value.toString('base64') : value;
  return JSON.stringify(members);
}
