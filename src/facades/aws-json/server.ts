// AWS's JSON 1.1 protocol on node:http: one POST to /, the operation in X-Amz-Target. Bounded in size, time and number; what it cannot
// take in travels the line all the same, so that it is refused in AWS's words and audited.
import { IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { DrainableServer } from '../../kernel/drainable-server.js';
import type { BridgeError, ErrorCode } from '../../kernel/errors.js';
import { perform, type Incoming, type Line, type Outcome } from '../../pipeline/perform.js';
import { BodyBudget, noBody, receive, throttled } from './body.js';
import { answerOf, incomingOf, metricName } from './call.js';
import { refusalOf, writeLast } from './unparsed.js';

export interface AwsJsonOptions {
  readonly line: Line;
  /** Told of each call as it comes in, and of its end with the registry's name of its operation or `unknown`. */
  readonly started: () => void;
  readonly ended: (operation: string, outcome: ErrorCode | 'OK') => void;
}

const mostCalls = 4096;
const maxConnections = 10_000;
const limits = {
  maxHeaderSize: 16_384,
  requestTimeout: 30_000,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 75_000,
  noDelay: true,
  // The signature must cover it: a request without one is refused by the line, in AWS's words.
  requireHostHeader: false,
};

export function createAwsJsonServer(options: AwsJsonOptions): DrainableServer {
  const server = new DrainableServer(limits);
  const facade: Facade = { options, budget: new BodyBudget(), finished: new WeakSet(), server };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    if (server.calls >= mostCalls) void answer(facade, request, response, noBody, 0, throttled());
    else
      receive(request, facade.budget, (body, heldBytes, refusal) => {
        void answer(facade, request, response, body, heldBytes, refusal);
      });
  };
  server.on('request', serve);
  // Node would say 417 by itself. What is expected may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', serve);
  // Node would hang up: no method but POST is ours.
  server.on('connect', (request, socket) => {
    // Node no longer listens.
    socket.on('error', () => undefined);
    if (socket instanceof Socket) void answerUnparsed(facade, request, socket);
  });
  refuseUnparsed(facade);
  server.maxConnections = maxConnections;
  return server;
}

interface Facade {
  readonly options: AwsJsonOptions;
  readonly budget: BodyBudget;
  /** Connections whose last answer is under way: whatever still comes over one is no call. */
  readonly finished: WeakSet<Socket>;
  readonly server: DrainableServer;
}

async function answer(
  { options, budget, finished, server }: Facade,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  heldBytes: number,
  refusal: BridgeError | undefined,
): Promise<void> {
  const isTaken = !finished.has(request.socket) && server.begin(request, response);
  try {
    if (!isTaken) return;
    // Not before: a client that goes away while it sends makes no call, and nothing would end it.
    options.started();
    const incoming = incomingOf(request, body, refusal);
    const outcome = await perform(options.line, incoming);
    tell(options, incoming, outcome);
    const { status, headers, text } = answerOf(outcome);
    if (refusal !== undefined) headers.push('Connection', 'close');
    response.writeHead(status, headers).end(text);
  } finally {
    budget.giveBack(heldBytes);
    if (isTaken) server.end(request, response);
  }
}

function tell(options: AwsJsonOptions, incoming: Incoming, outcome: Outcome): void {
  options.ended(metricName(incoming), 'error' in outcome ? outcome.error.code : 'OK');
}

/** What Node's parser turns away becomes a call too: one for each connection, since nothing more can be read from it. */
function refuseUnparsed(facade: Facade): void {
  const refused = new WeakSet<Socket>();
  facade.server.on('clientError', (error, socket) => {
    if (!(socket instanceof Socket) || refused.has(socket)) return;
    const refusal = refusalOf(error, socket);
    if (refusal === undefined) {
      socket.destroy();
      return;
    }
    refused.add(socket);
    // Node would close it as soon as the client has said all he wants to say.
    socket.removeAllListeners('end');
    // What came before it in the same packet is a call by then.
    setImmediate(() => void answerUnparsed(facade, new IncomingMessage(socket), socket, refusal));
  });
}

/** Answers on the bare socket, for there is no response, and closes it. */
async function answerUnparsed(
  { options, finished, server }: Facade,
  request: IncomingMessage,
  socket: Socket,
  refusal?: BridgeError,
): Promise<void> {
  const last = server.lastAnswerOn(socket);
  // The rest of a request that was refused before it was read.
  if (last?.req.complete === false) return;
  if (!server.begin(request)) return;
  finished.add(socket);
  // Whatever is written before that one would pass for it: the connection ends with it.
  if (last !== undefined) last.shouldKeepAlive = false;
  try {
    options.started();
    const incoming = incomingOf(request, noBody, refusal);
    const outcome = await perform(options.line, incoming);
    tell(options, incoming, outcome);
    if (last === undefined) writeLast(socket, answerOf(outcome));
  } finally {
    server.end(request);
  }
}
