#pragma once

#include "bag/folder.h"
#include "bag/proof.h"

/* Inside of the folder: folder.c sums up, folder-proof.c proves. */

/** What can be proven now: the files up to the first that is not hashed. @return 0 or -ENOMEM */
int bp_folder_make_proof(const struct bp_folder *f, struct bp_proof *ret);
/** The first file is about to be taken out: the chain goes on from behind it. */
void bp_folder_pass(struct bp_folder *f);
