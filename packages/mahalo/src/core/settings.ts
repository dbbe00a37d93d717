/** Numbers that environment variables set. */
import { MahaloError } from "@mahalo/torch";

/**
 * A number from the environment; a variable that is empty counts as left out.
 *
 * @throws MahaloError E_SETTING for what is not a number above 0, or from 0 on where `zero` allows that
 */
export const numberSetting = (
  environment: NodeJS.ProcessEnv,
  name: string,
  fallback: number,
  { zero = false } = {},
): number => {
  const text = environment[name];
  if (text === undefined || text.trim() === "") return fallback;
  const value = Number(text);
  if (Number.isFinite(value) && (value > 0 || (zero && value === 0))) return value;
  const range = zero ? "from 0 on" : "above 0";
  throw new MahaloError("E_SETTING", `${name}: must be a number ${range}, not ${JSON.stringify(text)}`);
};
