/** The options by which commands are told a mix: weights, a position on the model's scale, or results to reach. */
import type { Command } from "commander";
import { mixOf, readControl } from "../evaluate/control-file.ts";
import { parseTarget } from "../evaluate/tune.ts";
import { type Mix, parseMix } from "../model/heads/heads.ts";
import { collect, usage } from "./command.ts";
import { number } from "./sampling-options.ts";

/** What the options of a mix hold once parsed. */
export type MixFlags = { mix?: Mix[]; at?: number[]; target?: string[] };

const collectMix = (text: string, before: readonly Mix[] = []): Mix[] => [...before, parseMix(text)];
const collectPosition = (text: string, before: readonly number[] = []): number[] => [...before, number(text)];

/** Adds the options to a command. @param none what holds where none of them is given */
export const withMix = (command: Command, { several, none }: { several: boolean; none: string }): Command => {
  const repeated = several ? "; may be repeated" : "";
  return command
    .option(
      "--mix <weights>",
      `for example accuracy=0.7,engagement=0.3${repeated}; default: ${none}`,
      collectMix,
    )
    .option(
      "--at <position>",
      `from 0, all of the model's first objective, to 1, all of its second; results move evenly between${repeated}`,
      collectPosition,
    )
    .option(
      "--target <bound>",
      "weights that reach a result, such as accuracy>=0.6; several bounds are to be reached together",
      collect,
    );
};

/**
 * The mixes that are asked for: weights, then positions, then the mix of all targets.
 *
 * @param model folder of the model, which keeps what was measured of it
 * @throws MahaloError E_CONTROL, E_POSITION, E_TARGET, E_TUNE
 */
export const mixesOf = async (
  { mix = [], at = [], target = [] }: MixFlags,
  model: string,
): Promise<Mix[]> => {
  if (at.length === 0 && target.length === 0) return mix;
  const control = await readControl(model);
  return [
    ...mix,
    ...at.map((position) => mixOf(control, { at: position })),
    ...(target.length === 0 ? [] : [mixOf(control, { targets: target.map(parseTarget) })]),
  ];
};

/** As {@link mixesOf}, for commands that take one mix; undefined where none is asked for. @throws MahaloError E_USAGE */
export const oneMixOf = async (flags: MixFlags, model: string): Promise<Mix | undefined> => {
  const [mix, ...more] = await mixesOf(flags, model);
  if (more.length > 0) throw usage("--mix, --at, --target: give one mix");
  return mix;
};
