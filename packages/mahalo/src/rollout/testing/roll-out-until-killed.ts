/** A process that rolls rows out into the file that it is given, and before their end waits to be killed. */
import { rollTiny } from "./rollouts.ts";

const [out = "", count = "1"] = process.argv.slice(2);
await rollTiny(out, Number(count), { last: 3 * Number(count) });
