// TLS in front of the endpoint: connections come in here, and those whose handshake is done are handed on. TLS 1.2 and newer with forward
// secrecy, no renegotiation, no tickets; a client that does not finish its handshake costs little and not for long.
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { Server, type TlsOptions } from 'node:tls';
import { sourceOf } from '../kernel/source.js';
import { Strangers } from '../kernel/strangers.js';
import type { HandshakeRules } from '../ports/facade.js';
import type { TlsPair } from './tls-files.js';

const rules = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
  honorCipherOrder: true,
  // A ticket's key would outlive the connections that it opens, and each gateway has its own.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
} as const satisfies TlsOptions;

/** The caller listens; `secureConnection` tells of each connection that can be read. */
export class TlsDoor extends Server {
  readonly #dropped: HandshakeRules['dropped'];
  readonly #handshakes: Strangers<Socket>;
  readonly #byEnds = new Map<string, Socket>();

  constructor(pair: TlsPair, { limits, timeoutMs, dropped }: HandshakeRules) {
    super({ ...rules, ...pair, handshakeTimeout: timeoutMs, ALPNProtocols: ['http/1.1'], noDelay: true });
    this.#handshakes = new Strangers(limits);
    this.#dropped = dropped;
    this.on('connection', (socket: Socket) => this.#begun(socket));
    this.on('secureConnection', (socket) => this.#done(endsOf(socket)));
    this.on('tlsClientError', ({ code }: NodeJS.ErrnoException, socket) => {
      if (code !== 'ERR_TLS_HANDSHAKE_TIMEOUT') return;
      dropped('no-handshake-in-time');
      // Node only says so.
      socket.destroy();
    });
  }

  /** For handshakes from now on; connections keep what they have. */
  renew(pair: TlsPair): void {
    this.setSecureContext({ ...rules, ...pair });
  }

  /** Stops listening, and waits for no handshake. */
  override close(done?: (error?: Error) => void): this {
    super.close(done);
    for (const socket of this.#handshakes) socket.destroy();
    return this;
  }

  #begun(socket: Socket): void {
    const source = socket.remoteAddress === undefined ? undefined : sourceOf(socket.remoteAddress);
    const ofSource = this.#handshakes.tooManyOf(source);
    if (ofSource !== undefined) this.#drop(ofSource);
    else if (this.#handshakes.isFull && this.#handshakes.oldest !== undefined) this.#drop(this.#handshakes.oldest);
    const ends = endsOf(socket);
    this.#handshakes.add(socket, source);
    this.#byEnds.set(ends, socket);
    socket.once('close', () => {
      this.#handshakes.delete(socket);
      if (this.#byEnds.get(ends) === socket) this.#byEnds.delete(ends);
    });
  }

  #drop(socket: Socket): void {
    this.#dropped('too-many-handshakes');
    this.#handshakes.delete(socket);
    socket.destroy();
  }

  #done(ends: string): void {
    const socket = this.#byEnds.get(ends);
    this.#byEnds.delete(ends);
    if (socket !== undefined) this.#handshakes.delete(socket);
  }
}

/** The same for a connection and for what is decrypted from it. */
const endsOf = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress ?? ''} ${remotePort ?? ''} ${localAddress ?? ''}`;
