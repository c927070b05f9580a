// A section: 32 consecutive codes for each of 64 threads.
const SECTION = 2048u;
const THREADS = 64u;
const KEPT = 1u;
const GROUP_SHIFT = 3u;
// What is wrong with codes or planes; see `plane_buffer.ts`.
const BAD_COUNT = 1u;
const BAD_GROUP = 2u;
const BAD_SALIENT = 4u;
const BAD_MASK = 8u;
const BAD_DIGIT = 16u;
