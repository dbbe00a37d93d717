/** Runs the mahalo command from this clone: `node scripts/mahalo.mjs ARGS`. */
import "../packages/mahalo/bin/mahalo.mjs";
