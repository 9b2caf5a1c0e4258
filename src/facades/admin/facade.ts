// The admin port, where this gateway has it.
import type { Addresses, Facade } from '../../ports/facade.js';
import { type AdminOptions, createAdminServer } from './server.js';

export interface AdminCore {
  readonly addresses: Addresses;
  /** Undefined: another gateway has the admin port. */
  readonly health: AdminOptions | undefined;
}

export const admin: Facade<AdminCore> = {
  async listen({ addresses, health }) {
    if (health === undefined) return undefined;
    const server = createAdminServer(health);
    await addresses.open(server, 'admin', undefined);
    return server;
  },
};
