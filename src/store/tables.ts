// The schema as the query builder sees it, and the columns each seal covers: a column that decides access must stand in `sealedColumns`.

export interface KeyRow {
  readonly region: string;
  readonly account_id: string;
  readonly key_id: string;
  readonly status: string;
  readonly material_missing: number;
  readonly spec: string;
  readonly usage: string;
  readonly description: string;
  readonly created_at_ms: number;
  readonly deletion_at_ms: number | null;
  readonly policy: string;
  readonly tags: string;
  readonly backing_keys: string;
  readonly pending_material_id: string | null;
  readonly incarnation: number;
  readonly version: number;
  readonly seal: Buffer;
}

/** An index over `keys.backing_keys`. It is not sealed: what it names is believed only when the sealed key row says the same. */
export interface MaterialRow {
  readonly region: string;
  readonly cka_id: string;
  readonly account_id: string;
  readonly key_id: string;
}

export interface AliasRow {
  readonly region: string;
  readonly account_id: string;
  readonly alias_name: string;
  readonly key_id: string;
  readonly created_at_ms: number;
  readonly updated_at_ms: number;
  readonly version: number;
  readonly seal: Buffer;
}

export interface CredentialRow {
  readonly access_key_id: string;
  readonly account_id: string;
  readonly root: number;
  readonly created_at_ms: number;
  readonly wrapped_secret: Buffer;
  readonly version: number;
  readonly seal: Buffer;
}

/** A Region stands here once the daemon's own keys are known to exist in its token. */
export interface TokenRow {
  readonly region: string;
  readonly serial: string;
  readonly daemon_keys_since_ms: number;
  /** The seal of a fixed text: another token's would be another. */
  readonly seal_check: Buffer;
}

export interface UsageRow {
  readonly material_id: string;
  readonly total: number;
}

export interface LeaseRow {
  readonly name: string;
  readonly holder: string;
  readonly expires_at_ms: number;
}

export interface Tables {
  keys: KeyRow;
  materials: MaterialRow;
  aliases: AliasRow;
  credentials: CredentialRow;
  tokens: TokenRow;
  usage: UsageRow;
  leases: LeaseRow;
}

export type ColumnKind = 'text' | 'integer' | 'blob';

/** Every column but `seal`, in the order in which they are encoded (docs/formats/row-seal.md). New columns go to the end. */
export const sealedColumns = {
  keys: {
    region: 'text',
    account_id: 'text',
    key_id: 'text',
    version: 'integer',
    status: 'text',
    material_missing: 'integer',
    spec: 'text',
    usage: 'text',
    description: 'text',
    created_at_ms: 'integer',
    deletion_at_ms: 'integer',
    policy: 'text',
    tags: 'text',
    backing_keys: 'text',
    pending_material_id: 'text',
    incarnation: 'integer',
  },
  aliases: {
    region: 'text',
    account_id: 'text',
    alias_name: 'text',
    version: 'integer',
    key_id: 'text',
    created_at_ms: 'integer',
    updated_at_ms: 'integer',
  },
  credentials: {
    access_key_id: 'text',
    version: 'integer',
    account_id: 'text',
    root: 'integer',
    created_at_ms: 'integer',
    wrapped_secret: 'blob',
  },
} as const satisfies {
  readonly [T in 'keys' | 'aliases' | 'credentials']: { readonly [C in Exclude<keyof Tables[T], 'seal'>]: ColumnKind };
};

export type SealedTable = keyof typeof sealedColumns;
export type SealedColumns<T extends SealedTable> = Omit<Tables[T], 'seal'>;
