import type { Json } from "../api/types.js";

/** The JSON value of a text, or why it is none. */
export function parseData(text: string): { data?: Json; problem?: string } {
  try {
    return { data: JSON.parse(text) as Json };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : "This is no JSON." };
  }
}
