#include "prt_untar.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "prt_untar_parts.h"

struct prt_untar *prt_untar_new(int root, unsigned flags, const struct prt_untar_limits *limits, struct prt_error *err)
{
	struct prt_untar *self = calloc(1, sizeof *self);

	if (!self) {
		(void)prt_fail(err, ENOMEM, "calloc", NULL, NULL);
		return NULL;
	}
	self->root = sys_fcntl(root, F_DUPFD_CLOEXEC, 0);
	self->flags = flags;
	self->limits = *limits;
	self->uid = geteuid();
	self->gid = getegid();
	self->parent = -1;
	self->file = -1;
	self->tar = prt_tar_new((size_t)limits->metadata_bytes);
	int ret = self->root < 0 ? prt_fail(err, -self->root, "fcntl", NULL, "to keep the root") : 0;
	if (ret == 0 && !self->tar)
		ret = prt_fail(err, ENOMEM, "calloc", NULL, NULL);
	/* The root is there whether the archive has it or not. */
	if (ret < 0 || untar_remember(self, LATER_IMPLIED, "", NULL, 0, err) < 0) {
		prt_untar_free(self);
		return NULL;
	}
	return self;
}

void prt_untar_free(struct prt_untar *self)
{
	if (!self)
		return;
	prt_tar_free(self->tar);
	prt_cleanup_fd(&self->root);
	prt_cleanup_fd(&self->parent);
	prt_cleanup_fd(&self->file);
	free(self->laters.list);
	free(self->laters.arena);
	free(self);
}

int prt_untar_feed(struct prt_untar *self, const void *bytes, size_t size, struct prt_error *err)
{
	const unsigned char *at = bytes;

	if (self->stage != FEEDING)
		return untar_bad(self, "the archive has been finished", err);
	for (;;) {
		int ret = prt_tar_next(self->tar, &at, &size, err);

		if (prt_tar_headers(self->tar) > self->limits.headers)
			return prt_fail(err, EFBIG, "untar", self->path, "more entries than the limit allows");
		if (ret == PRT_TAR_MORE)
			return PRT_UNTAR_MORE;
		if (ret == PRT_TAR_END)
			return PRT_UNTAR_DONE;
		if (ret == PRT_TAR_ENTRY)
			ret = untar_make(self, err);
		else if (ret == PRT_TAR_DATA)
			ret = untar_write(self, prt_tar_data(self->tar), err);
		else if (ret == PRT_TAR_LAST)
			ret = untar_close_file(self, err);
		if (ret < 0)
			return -1;
	}
}

const struct prt_untar_counts *prt_untar_counted(const struct prt_untar *self)
{
	return &self->counts;
}
