/* Instead of the dashboard in a build without it. */
#include "web/assets.h"

const struct bp_web_asset bp_web_assets[] = { { .path = "" } };
const size_t bp_web_assets_count = 0;
const char bp_web_blob[] = "";
