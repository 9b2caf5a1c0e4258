// AWS's JSON 1.1 protocol on node:http: one POST to /, the operation in X-Amz-Target. Bounded in size, time and number; what it cannot
// take in travels the line all the same, so that it is refused in AWS's words and audited.
import { IncomingMessage, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { DrainableServer } from '../../kernel/drainable-server.js';
import { BridgeError, type ErrorCode } from '../../kernel/errors.js';
import type { Timers } from '../../kernel/timers.js';
import { asBridgeError, perform, type Line, type Outcome } from '../../pipeline/perform.js';
import type { Authenticator, Claim } from '../../ports/authenticator.js';
import { BodyBudget, discard, isTooLarge, noBody, receive, throttled, tooLarge } from './body.js';
import { answerOf, JsonCall, statedBytesOf } from './call.js';
import type { Connection, ConnectionTable } from './connections.js';
import { headRefusal, mostHeaderBytes, mostHeaders } from './head.js';
import { late, refusalOf, writeLast } from './unparsed.js';

export interface AwsJsonOptions {
  readonly line: Line;
  readonly authenticator: Authenticator;
  readonly connections: ConnectionTable;
  readonly timers: Timers;
  /** Told of each call as it comes in, and of its end with the registry's name of its operation or `unknown`. */
  readonly started: () => void;
  readonly ended: (operation: string, outcome: ErrorCode | 'OK') => void;
}

const mostCalls = 4096;
/** Of large bodies: strangers' do not keep out those of a client that has signed well on its connection, nor an account's another's. */
const mostHeldBytes = { unproven: 8 * 1_048_576, proven: 32 * 1_048_576, ofAccount: 8 * 1_048_576 };
const sweepEveryMs = 1_000;
/** How long a client whose body is not read may go on sending it: a connection that is closed meanwhile takes its answer with it. */
const lingerMs = 1_000;
const limits = {
  maxHeaderSize: mostHeaderBytes,
  requestTimeout: 30_000,
  headersTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
  keepAliveTimeout: 75_000,
  noDelay: true,
  // The signature must cover it: a request without one is refused by the line, in AWS's words.
  requireHostHeader: false,
};

export function createAwsJsonServer(options: AwsJsonOptions): DrainableServer {
  const { connections, timers } = options;
  const server = new DrainableServer(limits, timers);
  server.maxHeadersCount = mostHeaders + 1;
  const facade: Facade = { options, connections, budgetOf: budgets(), server };
  server.on('connection', (socket) => void connections.add(socket));
  server.on('request', (request, response) => serve(facade, request, response));
  // Node would say 417 by itself. What is expected may be ignored (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request, response) => serve(facade, request, response));
  // Node would ask for the body by itself.
  server.on('checkContinue', (request, response) => serve(facade, request, response, true));
  // Node would hang up: no method but POST is ours.
  server.on('connect', (request, socket) => {
    // Node no longer listens.
    socket.on('error', () => undefined);
    const connection = socket instanceof Socket ? connections.of(socket) : undefined;
    if (connection !== undefined)
      void answerUnparsed(facade, request, connection, new BridgeError('UnknownOperationException'));
  });
  refuseUnparsed(facade);
  server.once(
    'close',
    timers.every(sweepEveryMs, () => connections.sweep((connection) => refuseLate(facade, connection))),
  );
  return server;
}

interface Facade {
  readonly options: AwsJsonOptions;
  readonly connections: ConnectionTable;
  /** Of a proven connection's account; undefined: strangers'. */
  readonly budgetOf: (accountId: string | undefined) => BodyBudget;
  readonly server: DrainableServer;
}

/** Accounts are as many as are configured. */
function budgets(): Facade['budgetOf'] {
  const unproven = new BodyBudget(mostHeldBytes.unproven);
  const proven = new BodyBudget(mostHeldBytes.proven);
  const ofAccount = new Map<string, BodyBudget>();
  return (accountId) => {
    if (accountId === undefined) return unproven;
    let budget = ofAccount.get(accountId);
    if (budget === undefined) {
      budget = new BodyBudget(mostHeldBytes.ofAccount, proven);
      ofAccount.set(accountId, budget);
    }
    return budget;
  };
}

/** One call from its headers to its answer. */
interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
}

function serve(facade: Facade, request: IncomingMessage, response: ServerResponse, isAwaited = false): void {
  const connection = facade.connections.of(request.socket);
  if (connection === undefined || connection.isFinished || !facade.connections.mayCall(connection)) {
    discard(request);
    return;
  }
  const call = { request, response, connection };
  const statedBytes = statedBytesOf(request);
  const claim = isTooLarge(statedBytes) ? tooLarge() : claimOf(facade, call);
  connection.calls += 1;
  if (claim instanceof BridgeError) {
    discard(request);
    void answer(facade, call, claim, noBody);
    return;
  }
  if (isAwaited) response.writeContinue();
  const budget = facade.budgetOf(connection.accountId);
  receive(request, statedBytes, budget, (body, heldBytes, refusal) => {
    const answered = answer(facade, call, refusal ?? claim, body);
    if (heldBytes > 0) void answered.finally(() => budget.giveBack(heldBytes));
  });
}

/** Read once, before the body is: the same claim is verified when the body has come. */
function claimOf({ options, server }: Facade, { request, connection }: Call): Claim | BridgeError {
  const refusal = headRefusal(request, !connection.proven && connection.calls === 0);
  if (refusal !== undefined) return refusal;
  if (server.calls >= mostCalls) return throttled();
  const { method = '', url = '', rawHeaders } = request;
  try {
    return options.authenticator.claim({ method, url, rawHeaders });
  } catch (error) {
    return asBridgeError(options.line, error);
  }
}

async function answer(
  { options, server }: Facade,
  { request, response, connection }: Call,
  claim: Claim | BridgeError,
  body: Buffer,
): Promise<void> {
  const isTaken = !connection.isFinished && server.begin(request, response);
  if (!isTaken) return;
  connection.callsInLine += 1;
  // Nothing is read after a body that was not.
  const isLast = !request.complete;
  if (isLast) connection.isFinished = true;
  try {
    // Not before: a client that goes away while it sends makes no call, and nothing would end it.
    options.started();
    const incoming = new JsonCall(request, connection, claim, body);
    const outcome = await perform(options.line, incoming);
    report(options, incoming, outcome);
    const { status, headers, text } = answerOf(outcome);
    const isStranger = !connection.proven && server.lastAnswerOn(request.socket) === response;
    if (isLast || isStranger) finish(options.timers, connection, request, headers);
    response.writeHead(status, headers).end(text);
  } finally {
    connection.calls -= 1;
    connection.callsInLine -= 1;
    server.end(request, response);
  }
}

/** The answer is the connection's last one. */
function finish(timers: Timers, connection: Connection, request: IncomingMessage, headers: string[]): void {
  const { socket } = connection;
  connection.isFinished = true;
  headers.push('Connection', 'close');
  if (request.complete) return;
  // Node calls it once the answer has left.
  socket.destroySoon = () => {
    socket.end();
    // Chunks cost more to read than to send: they are left where they are.
    if (statedBytesOf(request) !== undefined) socket.resume();
    socket.once(
      'close',
      timers.after(lingerMs, () => socket.destroy()),
    );
  };
}

function report(options: AwsJsonOptions, incoming: JsonCall, outcome: Outcome): void {
  options.ended(incoming.metricName, 'error' in outcome ? outcome.error.code : 'OK');
}

/** What Node's parser turns away becomes a call too: one for each connection, since nothing more can be read from it. */
function refuseUnparsed(facade: Facade): void {
  const refused = new WeakSet<Socket>();
  facade.server.on('clientError', (error, socket) => {
    if (!(socket instanceof Socket) || refused.has(socket)) return;
    const connection = facade.connections.of(socket);
    if (connection?.isFinished === true) return;
    const refusal = connection === undefined ? undefined : refusalOf(error, connection);
    if (connection === undefined || refusal === undefined) {
      socket.destroy();
      return;
    }
    refused.add(socket);
    // Node would close it as soon as the client has said all it wants to say.
    socket.removeAllListeners('end');
    // What came before it in the same packet is a call by then.
    facade.options.timers.soon(() => void answerUnparsed(facade, new IncomingMessage(socket), connection, refusal));
  });
}

function refuseLate(facade: Facade, connection: Connection): void {
  void answerUnparsed(facade, new IncomingMessage(connection.socket), connection, late());
}

/** Answers on the bare socket, for there is no response, and closes it. */
async function answerUnparsed(
  { options, server }: Facade,
  request: IncomingMessage,
  connection: Connection,
  refusal: BridgeError,
): Promise<void> {
  const { socket } = connection;
  const last = server.lastAnswerOn(socket);
  // The rest of a request that was refused before it was read.
  if (last?.req.complete === false) return;
  if (!server.begin(request)) return;
  connection.isFinished = true;
  // Whatever is written before that one would pass for it: the connection ends with it.
  if (last !== undefined) last.shouldKeepAlive = false;
  try {
    options.started();
    const incoming = new JsonCall(request, connection, refusal, noBody);
    const outcome = await perform(options.line, incoming);
    report(options, incoming, outcome);
    if (last === undefined) writeLast(socket, answerOf(outcome), options.line.services.clock.now());
  } finally {
    server.end(request);
  }
}
