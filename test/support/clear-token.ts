// A token's calls with secrets as bytes, for tests that are about nothing but what is computed with them.
import { Secret } from '../../src/kernel/secret.js';
import type { Token } from '../../src/ports/token.js';

type Clear<T> =
  T extends Secret<infer V> ? V : T extends Buffer ? T : T extends object ? { [K in keyof T]: Clear<T[K]> } : T;

type ClearArgs<A extends readonly unknown[]> = { [K in keyof A]: A[K] extends Secret<infer V> ? V : A[K] };

type ClearCall<C> = C extends (...args: infer A) => Promise<infer R> ? (...args: ClearArgs<A>) => Promise<Clear<R>> : C;

export type ClearToken = { [M in keyof Token]: ClearCall<Token[M]> };

export function inTheClear(token: Token): ClearToken {
  return Object.assign(Object.create(token) as ClearToken, {
    encrypt: (ckaId, aad, plaintext) => token.encrypt(ckaId, aad, new Secret(plaintext)),
    decrypt: async (ckaId, aad, sealed) => (await token.decrypt(ckaId, aad, sealed)).reveal(),
    async generateDataKey(ckaId, aad, bytes) {
      const { plaintext, sealed } = await token.generateDataKey(ckaId, aad, bytes);
      return { plaintext: plaintext.reveal(), sealed };
    },
    generateMac: (ckaId, algorithm, message) => token.generateMac(ckaId, algorithm, new Secret(message)),
    verifyMac: (ckaId, algorithm, message, mac) => token.verifyMac(ckaId, algorithm, new Secret(message), mac),
    random: async (bytes) => (await token.random(bytes)).reveal(),
  } satisfies Partial<ClearToken>);
}
