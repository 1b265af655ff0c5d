#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prt_tarwrite_parts.h"

struct tw_link {
	uint64_t device;
	uint64_t inode;
	size_t path; /* its place in the paths, from 1; 0: this slot is free */
};

/* The slot of an inode, or the free one where it belongs. */
static struct tw_link *slot_of(const struct tw_links *self, uint64_t device, uint64_t inode)
{
	size_t at = (size_t)((inode ^ device << 32) * 0x9e3779b97f4a7c15u >> 20);

	for (;; at++) {
		struct tw_link *link = self->list + (at & (self->room - 1));
		if (!link->path || (link->device == device && link->inode == inode))
			return link;
	}
}

static int grow(struct tw_links *self, struct prt_error *err)
{
	struct tw_links grown = {.room = self->room ? 2 * self->room : 64};

	grown.list = calloc(grown.room, sizeof *grown.list);
	if (!grown.list)
		return prt_fail(err, ENOMEM, "tarwrite", NULL, "hard links");
	for (size_t i = 0; i < self->room; i++)
		if (self->list[i].path)
			*slot_of(&grown, self->list[i].device, self->list[i].inode) = self->list[i];
	free(self->list);
	self->list = grown.list;
	self->room = grown.room;
	return 0;
}

int tw_links_meet(struct tw_links *self, const struct stat *st, const char *path, const char **first,
		  struct prt_error *err)
{
	if (2 * self->count >= self->room && grow(self, err) < 0)
		return -1;
	struct tw_link *link = slot_of(self, st->st_dev, st->st_ino);
	*first = link->path ? self->paths.bytes + link->path - 1 : NULL;
	if (*first)
		return 0;
	size_t place = self->paths.size + 1;
	if (tw_append(&self->paths, path, strlen(path) + 1, err) < 0)
		return -1;
	*link = (struct tw_link){.device = st->st_dev, .inode = st->st_ino, .path = place};
	self->count++;
	return 0;
}

void tw_links_free(struct tw_links *self)
{
	free(self->list);
	tw_text_free(&self->paths);
	*self = (struct tw_links){0};
}
