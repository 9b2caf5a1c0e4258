// One HTTP request as the line takes it in, and its outcome as AWS writes it.
import type { IncomingMessage } from 'node:http';
import { BridgeError } from '../../kernel/errors.js';
import type { AnyOperation } from '../../operations/define.js';
import { operations } from '../../operations/index.js';
import type { Incoming, Outcome } from '../../pipeline/perform.js';
import type { Claim } from '../../ports/authenticator.js';
import type { Connection } from './connections.js';
import { errorBody, statusOf } from './errors.js';
import { parseJson, parseNumbersAsText } from './json.js';

const target = /^TrentService\.([A-Za-z]{1,64})$/;
const contentType = 'application/x-amz-json-1.1';

export function incomingOf(
  request: IncomingMessage,
  connection: Connection,
  claim: Claim | BridgeError,
  body: Buffer,
): Incoming {
  const { rawHeaders } = request;
  const operationName = target.exec(headerOf(rawHeaders, 'x-amz-target') ?? '')?.[1];
  return {
    request: { method: request.method ?? '', url: request.url ?? '', rawHeaders },
    body,
    claim,
    connection,
    // A UNIX socket's peer has no address.
    sourceIp: connection.address ?? 'unix',
    userAgent: headerOf(rawHeaders, 'user-agent') ?? '',
    operationName,
    operation: (caller) => operationOf(caller.service, operationName),
    json: () => parseJson(body),
    numbersAsText: () => parseNumbersAsText(body),
  };
}

/** The operation's name in the registry, or `unknown`. */
export const metricName = ({ operationName }: Incoming): string =>
  operationName !== undefined && operations.has(operationName) ? operationName : 'unknown';

export interface Answer {
  readonly status: number;
  /** Name, value, name, value … */
  readonly headers: string[];
  readonly text: string;
}

export function answerOf(outcome: Outcome): Answer {
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
  return { status: failed ? statusOf(outcome.error.code) : 200, headers, text };
}

/** Its Content-Length, which the parser has checked; undefined without one. */
export function statedBytesOf({ rawHeaders }: IncomingMessage): number | undefined {
  const stated = headerOf(rawHeaders, 'content-length');
  return stated === undefined ? undefined : Number(stated);
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

/** Blobs are base64; they stand at the top level of every output that has any. */
function encode(output: object): string {
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(output))
    members[name] = Buffer.isBuffer(value) ? value.toString('base64') : value;
  return JSON.stringify(members);
}
