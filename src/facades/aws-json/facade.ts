// The AWS endpoint: this protocol on the port and on the UNIX socket, which lead into one server.
import type { Timers } from '../../kernel/timers.js';
import type { Line } from '../../pipeline/perform.js';
import type { Authenticator } from '../../ports/authenticator.js';
import type { Addresses, Facade, HandshakeRules } from '../../ports/facade.js';
import { type ConnectionTable, usualLimits } from './connections.js';
import { type AwsJsonOptions, createAwsJsonServer } from './server.js';

export interface AwsJsonCore {
  readonly addresses: Addresses;
  readonly line: Line;
  /** Of header-signed POSTs to "/". */
  readonly authenticator: Authenticator;
  readonly connections: ConnectionTable;
  readonly timers: Timers;
  readonly meter: Pick<AwsJsonOptions, 'started' | 'ended'>;
}

export const awsJson: Facade<AwsJsonCore> = {
  async listen({ addresses, line, authenticator, connections, timers, meter }) {
    const server = createAwsJsonServer({ line, authenticator, connections, timers, ...meter });
    // A client at its handshake is a stranger too, and not in the table of connections yet.
    const handshakes: HandshakeRules = {
      limits: { all: usualLimits.unproven, ofSource: usualLimits.unprovenOfSource },
      timeoutMs: usualLimits.firstSignatureMs,
      dropped: (reason) => connections.count(reason),
    };
    await addresses.open(server, 'endpoint', handshakes);
    await addresses.open(server, 'unix', handshakes);
    return server;
  },
};
