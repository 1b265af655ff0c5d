#include <stdlib.h>

#include "prt_tar_reader.h"

struct prt_tar *prt_tar_new(size_t metadata_bytes)
{
	struct prt_tar *tar = calloc(1, sizeof *tar);

	if (!tar)
		return NULL;
	tar->limit = metadata_bytes;
	tar->entry.path = tar->path;
	tar->entry.target = tar->target;
	return tar;
}

void prt_tar_free(struct prt_tar *tar)
{
	if (!tar)
		return;
	free(tar->local.bytes);
	free(tar->global.bytes);
	free(tar->long_name.bytes);
	free(tar->long_link.bytes);
	free(tar->decoded.bytes);
	free(tar->runs.list);
	free(tar);
}

const struct prt_tar_entry *prt_tar_entry(const struct prt_tar *tar)
{
	return &tar->entry;
}

const struct prt_tar_data *prt_tar_data(const struct prt_tar *tar)
{
	return &tar->data;
}

uint64_t prt_tar_headers(const struct prt_tar *tar)
{
	return tar->headers;
}

int prt_tar_is_whole(const struct prt_tar *tar)
{
	int between = tar->state == TAR_HEADER || tar->state == TAR_PASSED || tar->state == TAR_SKIP;

	if (tar->state == TAR_END)
		return 1;
	return between && !tar->filled && !tar->skip && (tar->entries || tar->zeros) &&
	       (tar->state == TAR_PASSED || !tar->has_meta);
}
