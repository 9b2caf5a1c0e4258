// TLS in front of the endpoint: connections come in here, and those whose handshake is done are handed on. TLS 1.2 and newer with forward
// secrecy, no renegotiation, no tickets; who does not finish a handshake costs little and not for long.
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { Server, type TlsOptions } from 'node:tls';
import type { TlsPair } from './tls-files.js';

/** Of handshakes under way, the oldest goes when there is one more. */
const mostHandshakes = 256;
const handshakeMs = 10_000;

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
  /** Under way, the oldest first. */
  readonly #handshakes = new Map<string, Socket>();

  constructor(pair: TlsPair) {
    super({ ...rules, ...pair, handshakeTimeout: handshakeMs, ALPNProtocols: ['http/1.1'], noDelay: true });
    this.on('connection', (socket: Socket) => this.#begun(socket));
    this.on('secureConnection', (socket) => this.#handshakes.delete(endsOf(socket)));
  }

  /** For handshakes from now on; connections keep what they have. */
  renew(pair: TlsPair): void {
    this.setSecureContext({ ...rules, ...pair });
  }

  /** Stops listening, and waits for no handshake. */
  override close(done?: (error?: Error) => void): this {
    super.close(done);
    for (const socket of this.#handshakes.values()) socket.destroy();
    return this;
  }

  #begun(socket: Socket): void {
    const [oldest] = this.#handshakes.values();
    if (this.#handshakes.size >= mostHandshakes) oldest?.destroy();
    const ends = endsOf(socket);
    this.#handshakes.set(ends, socket);
    socket.once('close', () => {
      if (this.#handshakes.get(ends) === socket) this.#handshakes.delete(ends);
    });
  }
}

/** The same for a connection and for what is decrypted from it. */
const endsOf = ({ remoteAddress, remotePort, localAddress }: Socket): string =>
  `${remoteAddress ?? ''} ${remotePort ?? ''} ${localAddress ?? ''}`;
