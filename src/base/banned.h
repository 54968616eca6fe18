#pragma once

/* Calls we do not make, because they overrun, truncate silently or cannot report an error. Every
 * source file is compiled with `-include base/banned.h` behind the system headers' own use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat strncat sprintf vsprintf strtok atoi atol atoll atof gets
