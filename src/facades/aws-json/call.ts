// One HTTP request as the line takes it in, and its outcome as AWS writes it.
import type { IncomingMessage } from 'node:http';
import { BridgeError } from '../../kernel/errors.js';
import type { Service } from '../../model/service.js';
import type { AnyOperation, Input } from '../../operations/define.js';
import { operations } from '../../operations/index.js';
import type { Incoming } from '../../pipeline/incoming.js';
import type { Outcome } from '../../pipeline/perform.js';
import type { Caller, Claim } from '../../ports/authenticator.js';
import type { Structure } from '../../shapes/shape.js';
import { inputReader, type InputReader } from '../../shapes/read.js';
import { json11, writer, type Writer } from '../../shapes/write.js';
import type { Connection } from './connections.js';
import { errorBody, statusOf } from './errors.js';
import { parseJson, parseNumbersAsText } from './json.js';

/** The services that speak this protocol, with what stands before the operation's name in X-Amz-Target. */
const prefixes: Readonly<Record<Service, string>> = { kms: 'TrentService' };
const byTarget: ReadonlyMap<string, AnyOperation> = new Map(
  (Object.keys(prefixes) as Service[]).flatMap((service) =>
    [...operations[service]].map(([name, operation]) => [`${prefixes[service]}.${name}`, operation] as const),
  ),
);
/** How this protocol reads and writes what an operation takes and answers. */
interface Codec {
  readonly read: InputReader<Structure>;
  /** Without one the body is empty. */
  readonly write: Writer<object> | undefined;
}

const codecs: ReadonlyMap<AnyOperation, Codec> = new Map(
  [...byTarget.values()].map((operation) => [
    operation,
    {
      read: inputReader(operation.input),
      write: operation.output === 'nothing' ? undefined : writer(operation.output, json11),
    },
  ]),
);

/** An operation that is not served is named in the audit all the same. */
const unservedTarget = /^TrentService\.([A-Za-z]{1,64})$/;
const contentType = 'application/x-amz-json-1.1';
/** The form of AWS's access key ids. Anything else is a stranger's text and stays out of the log. */
const claimedCredential = /\bCredential ?= ?([A-Z0-9]{16,128})\//;

/** One signed request with its body. */
export class JsonCall implements Incoming {
  readonly service = 'kms';
  readonly sourceIp: string;
  readonly userAgent: string;
  readonly operationName: string | undefined;
  readonly #operation: AnyOperation | undefined;
  readonly #rawHeaders: readonly string[];
  readonly #connection: Connection;
  readonly #claim: Claim | BridgeError;
  readonly #body: Buffer;

  /** `claim`: what the headers claim, or why the request could not be taken in. */
  constructor(request: IncomingMessage, connection: Connection, claim: Claim | BridgeError, body: Buffer) {
    const { rawHeaders } = request;
    const target = headerOf(rawHeaders, 'x-amz-target') ?? '';
    this.#operation = byTarget.get(target);
    this.operationName = this.#operation?.name ?? unservedTarget.exec(target)?.[1];
    // A UNIX socket's peer has no address.
    this.sourceIp = connection.address ?? 'unix';
    this.userAgent = headerOf(rawHeaders, 'user-agent') ?? '';
    this.#rawHeaders = rawHeaders;
    this.#connection = connection;
    this.#claim = claim;
    this.#body = body;
  }

  get bodyBytes(): number {
    return this.#body.length;
  }

  /** The operation's name in the registry, or `unknown`. */
  get metricName(): string {
    return this.#operation?.name ?? 'unknown';
  }

  authenticate(): Promise<Caller> {
    if (this.#claim instanceof BridgeError) throw this.#claim;
    return this.#claim.authenticate(this.#body);
  }

  proved({ principal }: Caller): void {
    this.#connection.prove(principal.accountId);
  }

  operation({ service }: Caller): AnyOperation {
    const operation = this.#operation;
    if (operation?.service !== service) throw new BridgeError('UnknownOperationException');
    return operation;
  }

  input(operation: AnyOperation): Input {
    const body = this.#body;
    return codecOf(operation).read(parseJson(body), () => parseNumbersAsText(body));
  }

  claimedKeyId(): string | undefined {
    const authorization = headerOf(this.#rawHeaders, 'authorization');
    return authorization === undefined ? undefined : claimedCredential.exec(authorization)?.[1];
  }
}

export interface Answer {
  readonly status: number;
  /** Name, value, name, value … */
  readonly headers: string[];
  readonly text: string;
}

export function answerOf(outcome: Outcome): Answer {
  const failed = 'error' in outcome;
  const text = failed ? errorBody(outcome.error) : (codecOf(outcome.operation).write?.(outcome.result) ?? '');
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

function codecOf(operation: AnyOperation): Codec {
  const codec = codecs.get(operation);
  if (codec === undefined) throw new Error(`${operation.name} is not spoken here`);
  return codec;
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
