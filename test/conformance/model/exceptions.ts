// Where we differ from the published model, each with its reason. A line that no case needs any more fails, and is deleted.

export interface Exception {
  /** Every operation when it is left out. */
  readonly operation?: string;
  /** Of the case's name, as a failure prints it. */
  readonly cases: RegExp;
  /** Of what is wrong with it, as a failure prints it. */
  readonly finding: RegExp;
  readonly because: string;
}

export const exceptions: readonly Exception[] = [
  {
    cases: /^(CiphertextBlob|the body)/,
    finding: /lets it through, .*Value null at 'ciphertextBlob' failed/,
    because:
      'Decrypt and ReEncrypt need the ciphertext unless a DryRun ignores it (AWS KMS API Reference, DryRunModifiers); the model ' +
      'can only call it optional.',
  },
  {
    cases: /Context is too large$/,
    finding: /lets it through, .*Member must have a size of keys and values less than or equal to 8192 bytes/,
    because: 'AWS bounds an encryption context as a whole, which the model cannot say.',
  },
  {
    operation: 'UntagResource',
    cases: /^TagKeys is too many$/,
    finding: /lets it through, .*less than or equal to 1000/,
    because: 'The model has no bound, and a list is bounded before any work; a key has 50 tags at most.',
  },
  {
    operation: 'DescribeKey',
    cases: /^(GrantTokens|every member|mix)/,
    finding: /^InvalidGrantTokenException is not declared/,
    because:
      'The model lets DescribeKey take grant tokens and has no error for one that is not valid. No grant is served yet, and a token ' +
      'that says nothing must not be taken for one.',
  },
];

/** Values of enums that newer models have than the one that the tests install; they stand at the end, as there. */
export const newerValues: Readonly<Record<string, readonly string[]>> = {
  KeySpec: ['ML_KEM_512', 'ML_KEM_768', 'ML_KEM_1024'],
  KeyUsageType: ['ENCAPSULATE_DECAPSULATE'],
};
