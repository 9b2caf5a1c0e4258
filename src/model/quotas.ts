// How much of each resource there may be, by AWS's names of its quotas and at its default values. What a member may be is in its shape, and
// what an account may ask in a second is a setting.

/** AWS KMS Developer Guide, "Resource quotas", but for tags. */
export const quotas = {
  /** "AWS KMS keys": of one account in one Region. */
  kmsKeys: 100_000,
  aliasesPerKmsKey: 50,
  /** "Key policy document size": 32 KB. */
  keyPolicyDocumentSizeBytes: 32_768,
  /** AWS Tagging User Guide, "Tag naming limits and requirements". */
  tagsPerResource: 50,
} as const;
