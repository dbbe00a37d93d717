/** How much of a reply is looked at. */

/** Only the end of a longer reply is looked at. */
export const maxReply = 65_536;

/** Longest answer that is compared. */
export const maxAnswer = 4096;
