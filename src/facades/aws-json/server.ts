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
const target = /^TrentService\.([A-Za-z]{1,64})$/;
const contentType = 'application/x-amz-json-1.1';

export function createAwsJsonServer(options: AwsJsonOptions): Server {
  let inFlight = 0;
  const server = createServer(
    { maxHeaderSize: 16_384, requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 75_000, noDelay: true },
    (request, response) => {
      inFlight += 1;
      options.started();
      response.once('close', () => (inFlight -= 1));
      takeIn(request, inFlight > maxInFlight, (body, refusal) => {
        void answer(options, request, response, body, refusal);
      });
    },
  );
  server.maxConnections = 10_000;
  return server;
}

/** Reads the body; gives up on it, without reading on, when it is too large or there are too many requests already. */
function takeIn(request: IncomingMessage, busy: boolean, done: (body: Buffer, refusal?: BridgeError) => void): void {
  if (busy) {
    done(Buffer.alloc(0), new BridgeError('ThrottlingException', 'Rate exceeded'));
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBodyBytes) {
      request.removeAllListeners('data').removeAllListeners('end').pause();
      done(Buffer.alloc(0), new BridgeError('RequestEntityTooLargeException', 'The request is larger than 1 MiB.'));
      return;
    }
    chunks.push(chunk);
  });
  request.on('end', () => {
    const [first] = chunks;
    done(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
  });
}

async function answer(
  options: AwsJsonOptions,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  refusal: BridgeError | undefined,
): Promise<void> {
  const operationName = operationNameOf(request);
  const incoming: Incoming = {
    request: { method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders, body },
    sourceIp: request.socket.remoteAddress ?? 'unknown',
    userAgent: request.headers['user-agent'] ?? '',
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
  response.writeHead(failed ? statusOf(outcome.error.code) : 200, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    'x-amzn-RequestId': outcome.requestId,
    ...(close ? { Connection: 'close' } : {}),
  });
  response.end(text);
}

function operationNameOf(request: IncomingMessage): string | undefined {
  const header = request.headers['x-amz-target'];
  return typeof header === 'string' ? target.exec(header)?.[1] : undefined;
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
