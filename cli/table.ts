/** Tables and wrapped text for a terminal, under the name that commands use; `report/text_table.ts` makes them. */
export * from "../report/text_table.ts";
