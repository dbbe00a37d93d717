/** A process that rolls rows out into the file that it is given, to be killed on the way. */
import { rollTiny } from "./rollouts.ts";

const [out = "", count = "1"] = process.argv.slice(2);
await rollTiny(out, Number(count));
