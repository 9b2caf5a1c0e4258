// The AWS façade on in-memory ports whose server the test holds, and sockets on which it is spoken to by hand.
import { systemTimers } from '../../../src/kernel/timers.js';
import { systemClock } from '../../../src/kernel/clock.js';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createAuthenticator } from '../../../src/authn/authenticate.js';
import { rootTarget } from '../../../src/authn/target.js';
import { ConnectionTable } from '../../../src/facades/aws-json/connections.js';
import { createAwsJsonServer } from '../../../src/facades/aws-json/server.js';
import { type RawAnswer, bytesOf, exchange, parseAnswer, signed } from '../../support/raw-http.js';
import { accounts, region, startLine } from '../../support/line.js';

/** `hurry`: Node looks for requests that take too long every few milliseconds, and gives them no time. */
export async function startBareLine({ hurry = false, connections = new ConnectionTable({ clock: systemClock }) } = {}) {
  const line = await startLine();
  const authenticator = createAuthenticator({
    credentials: line.store.credentials,
    clock: line.clock,
    regions: new Set([region]),
    services: new Set(['kms']),
    readTarget: rootTarget,
  });
  const outcomes: string[] = [];
  let started = 0;
  const server = createAwsJsonServer({
    line: {
      services: line.services,
      budgets: line.budgets,
      defaultRegion: region,
      fault: (error) => line.faults.push(error),
    },
    authenticator,
    connections,
    timers: systemTimers,
    started: () => (started += 1),
    ended: (operation, outcome) => outcomes.push(`${operation} ${outcome}`),
  });
  if (hurry) Object.assign(server, { connectionsCheckingInterval: 10, headersTimeout: 20, requestTimeout: 20 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endpoint = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const sockets: Speaker[] = [];
  const credentialsOf = (account: string) => ({
    accessKeyId: `AKIA${account}`,
    secretAccessKey: `secret-of-${account}`,
  });
  const credentials = credentialsOf(accounts.first);
  return {
    ...line,
    server,
    endpoint,
    outcomes,
    started: () => started,
    /** A request with a good signature, on a connection that stays open. */
    call: (operation: string, input: object = {}, account: string = accounts.first): Buffer => {
      const body = JSON.stringify(input);
      const target = `TrentService.${operation}`;
      const request = signed({ endpoint, credentials: credentialsOf(account), region, target, body });
      return bytesOf({ ...request, headers: request.headers.filter(([name]) => name !== 'Connection') });
    },
    /** The headers of a request that claims to be somebody's, and is not: its body is read before that shows. */
    claimed: (bodyBytes: number | 'chunked'): string => {
      const { headers } = signed({ endpoint, credentials, region, target: undefined, body: '', chunked: true });
      const framing = bodyBytes === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${bodyBytes}`;
      const lines = headers.filter(([name]) => !['Connection', 'Transfer-Encoding'].includes(name));
      return ['POST / HTTP/1.1', ...lines.map((pair) => pair.join(': ')), framing, '\r\n'].join('\r\n');
    },
    exchange: (bytes: string): Promise<RawAnswer> => exchange(endpoint, Buffer.from(bytes, 'latin1')),
    speaker: async (): Promise<Speaker> => {
      const speaker = await Speaker.on(endpoint);
      sockets.push(speaker);
      return speaker;
    },
    close: async (): Promise<void> => {
      sockets.forEach(({ socket }) => socket.destroy());
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
      await line.close();
    },
  };
}

export type BareLine = Awaited<ReturnType<typeof startBareLine>>;

/** A connection, what came over it, and its end. */
export class Speaker {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  isClosed = false;
  #heard: Buffer[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => this.#heard.push(chunk));
    this.closed = new Promise((resolve) =>
      socket.on('close', () => {
        this.isClosed = true;
        resolve();
      }),
    );
  }

  static on(endpoint: URL): Promise<Speaker> {
    return new Promise((resolve) => {
      const socket = connect(Number(endpoint.port), endpoint.hostname, () => resolve(speaker));
      const speaker = new Speaker(socket);
    });
  }

  /** Resolves when the kernel has taken it. */
  say(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  get text(): string {
    return Buffer.concat(this.#heard).toString('latin1');
  }

  answer(): RawAnswer {
    return parseAnswer(Buffer.concat(this.#heard));
  }
}

/** Nobody's, and refused before its body is read. */
export const post = (bodyBytes: number): string => `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${bodyBytes}\r\n\r\n`;

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}
