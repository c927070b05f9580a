/** Pages whose tables are only sorted and walked through. */
import { sortable, walkable } from "./table.js";

const tables = [...document.querySelectorAll("table[data-sortable]")];
tables.forEach((table) => sortable(table));
if (tables.length > 0) walkable(tables[0]);
