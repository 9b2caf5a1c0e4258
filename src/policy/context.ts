// What a policy may ask about a request, by the names of AWS's condition keys.

export type ConditionValue = string | readonly string[];

export interface Context {
  /** Looked up when it is asked for. Undefined: the request has no such value. */
  value(conditionKey: string): ConditionValue | undefined;
}
