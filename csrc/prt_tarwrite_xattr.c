#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "prt_copy.h"
#include "prt_tarwrite_parts.h"

#define KEY "SCHILY.xattr."
#define OVERLAY_TRUSTED "trusted.overlay."
#define OVERLAY_USER "user.overlay."
#define MAX_RECORDS ((size_t)1 << 20) /* of one entry */

int tw_map(const struct prt_tarwrite_ids *ids, size_t count, uint32_t *id)
{
	if (!count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t offset = *id - ids[i].outside;
		if (*id >= ids[i].outside && offset < ids[i].count) {
			*id = ids[i].inside + offset;
			return 0;
		}
	}
	return -1;
}

static int starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static int unmapped(const char *path, const char *msg, struct prt_error *err)
{
	return prt_fail(err, EOVERFLOW, "tarwrite", path, msg);
}

/* An access control list: a word for the version, then a tag, permissions and an id for each entry. */
static int map_acl(char *value, size_t size, const struct prt_tarwrite_options *options, const char *path,
		   struct prt_error *err)
{
	for (size_t at = 4; at + 8 <= size; at += 8) {
		uint16_t tag;
		uint32_t id;
		memcpy(&tag, value + at, sizeof tag);
		memcpy(&id, value + at + 4, sizeof id);
		int is_user = le16toh(tag) == 0x02, is_group = le16toh(tag) == 0x08;
		id = le32toh(id);
		if ((is_user && tw_map(options->uids, options->uid_count, &id) < 0) ||
		    (is_group && tw_map(options->gids, options->gid_count, &id) < 0))
			return unmapped(path, "no map has an id of its access control list", err);
		id = htole32(id);
		memcpy(value + at + 4, &id, sizeof id);
	}
	return 0;
}

/* Capabilities that hold for one user namespace name its root; root in the archive is root, which needs no name. */
static int map_capability(char *value, size_t *size, const struct prt_tarwrite_options *options, const char *path,
			  struct prt_error *err)
{
	uint32_t magic, root;

	if (*size != 24 || !options->uid_count)
		return 0;
	memcpy(&magic, value, sizeof magic);
	memcpy(&root, value + 20, sizeof root);
	magic = le32toh(magic);
	root = le32toh(root);
	if (magic >> 24 != 3)
		return 0;
	if (tw_map(options->uids, options->uid_count, &root) < 0)
		return unmapped(path, "no map has the root of its capabilities", err);
	if (root == 0) {
		magic = htole32((magic & 0xffffff) | 2u << 24);
		memcpy(value, &magic, sizeof magic);
		*size = 20;
	}
	root = htole32(root);
	memcpy(value + 20, &root, sizeof root);
	return 0;
}

/* Read one that overlayfs has made for itself. */
static int read_own(struct tw_xattrs *self, const char *name, const char *value, size_t size, const char *path,
		    struct prt_error *err)
{
	static const char *const elsewhere[] = {"metacopy", "redirect", "whiteout"};

	if (strcmp(name, "opaque") == 0 && size == 1 && *value == 'y')
		self->is_opaque = 1;
	else if (strcmp(name, "opaque") == 0 && size == 1 && *value == 'x')
		return prt_fail(err, EOPNOTSUPP, "tarwrite", path, "its whiteouts are extended attributes");
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
		if (strcmp(name, elsewhere[i]) == 0)
			return prt_fail(err, EOPNOTSUPP, "tarwrite", path,
					"overlayfs keeps a part of it elsewhere (metacopy, redirect_dir)");
	return 0;
}

static int read_one(struct tw_xattrs *self, const char *from, const char *name,
		    const struct prt_tarwrite_options *options, const char *path, struct prt_error *err)
{
	const char *own = options->flags & PRT_TARWRITE_USERXATTR ? OVERLAY_USER : OVERLAY_TRUSTED;
	int is_overlays = starts(name, OVERLAY_TRUSTED) || starts(name, OVERLAY_USER);
	char key[sizeof KEY + 256] = KEY;

	/* Labels are this machine's, and an overlay's own mean nothing elsewhere. */
	if ((is_overlays && !starts(name, own)) || strcmp(name, "security.selinux") == 0 ||
	    strcmp(name, "security.evm") == 0)
		return 0;
	ssize_t got = getxattr(from, name, self->value, sizeof self->value);
	if (got < 0)
		return errno == ENODATA ? 0 : prt_fail(err, errno, "getxattr", path, name);
	size_t size = (size_t)got;
	if (is_overlays)
		return read_own(self, name + strlen(own), self->value, size, path, err);
	if (strchr(name, '=') || strlen(name) > 255)
		return prt_fail(err, EINVAL, "tarwrite", path,
				"an archive cannot tell an attribute with = in its name");
	int ret = 0;
	if (starts(name, "system.posix_acl_"))
		ret = map_acl(self->value, size, options, path, err);
	else if (strcmp(name, "security.capability") == 0)
		ret = map_capability(self->value, &size, options, path, err);
	memcpy(key + strlen(KEY), name, strlen(name) + 1);
	if (ret == 0 && self->records.size + size > MAX_RECORDS)
		return prt_fail(err, EINVAL, "tarwrite", path, "it has more attributes than readers take");
	return ret < 0 ? -1 : tw_record(&self->records, key, self->value, size, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int tw_xattrs_read(struct tw_xattrs *self, int fd, const struct prt_tarwrite_options *options, const char *path,
		   struct prt_error *err)
{
	struct prt_fdpath from = prt_fdpath(fd);
	ssize_t size = listxattr(from.text, self->names, sizeof self->names);
	size_t count = 0;
	int ret = 0;

	self->records.size = 0;
	self->is_opaque = 0;
	if (size <= 0)
		return size == 0 || errno == EOPNOTSUPP ? 0 : prt_fail(err, errno, "listxattr", path, NULL);
	for (const char *name = self->names; name < self->names + size; name += strlen(name) + 1)
		count++;
	const char **names = malloc(count * sizeof *names);
	if (!names)
		return prt_fail(err, ENOMEM, "tarwrite", path, "names of attributes");
	count = 0;
	for (const char *name = self->names; name < self->names + size; name += strlen(name) + 1)
		names[count++] = name;
	qsort(names, count, sizeof *names, by_name);
	for (size_t i = 0; ret == 0 && i < count; i++)
		ret = read_one(self, from.text, names[i], options, path, err);
	free(names);
	return ret;
}
