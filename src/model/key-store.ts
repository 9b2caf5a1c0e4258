// Where keys' material lies. Each Region has one key store, a token, by default; others it may have by name. A key stays in its own for good.

export interface KeyStoreRef {
  readonly region: string;
  /** Undefined: the Region's default one. */
  readonly keyStore: string | undefined;
}

export const defaultKeyStore = (region: string): KeyStoreRef => ({ region, keyStore: undefined });

export const isDefault = ({ keyStore }: KeyStoreRef): boolean => keyStore === undefined;

export const isSameKeyStore = (one: KeyStoreRef, other: KeyStoreRef): boolean =>
  one.region === other.region && one.keyStore === other.keyStore;

/** As operators read it: `us-east-1` for the default one, `us-east-1/archive` for another. */
export const keyStoreName = ({ region, keyStore }: KeyStoreRef): string =>
  keyStore === undefined ? region : `${region}/${keyStore}`;

/** It is part of a socket's name, of log lines and of a metric's label. */
export const keyStorePattern = /^[a-z][a-z0-9-]{0,31}$/;
