/** What a row reader is: code for a published layout that no column map can declare. */

/** Reads the rows of one layout. */
export type RowReader = {
  /**
   * Rows of ours, unchecked, out of one row of the layout.
   *
   * @throws RowProblem for a row of another form
   */
  read: (row: unknown) => Record<string, unknown>[];
  /** Why a row that is well-formed may give none; it is then left out and counted under these words. */
  none: string;
};
