#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prt_tarwrite_parts.h"

#define MAX_ID 07777777u
#define MAX_OCTAL 077777777777LL
#define NAME_SIZE ((size_t)100)

struct tw_ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char target[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char dev_major[8];
	char dev_minor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct tw_ustar) == TW_BLOCK, "a header is a block");

int tw_append(struct tw_text *text, const void *bytes, size_t size, struct prt_error *err)
{
	if (size > text->room - text->size) {
		size_t room = 2 * text->room + size + TW_BLOCK;
		char *grown = realloc(text->bytes, room);
		if (!grown)
			return prt_fail(err, ENOMEM, "tarwrite", NULL, "a header");
		text->bytes = grown;
		text->room = room;
	}
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	return 0;
}

void tw_text_free(struct tw_text *text)
{
	free(text->bytes);
	*text = (struct tw_text){0};
}

static size_t digits(size_t number)
{
	size_t n = 1;

	while (number /= 10)
		n++;
	return n;
}

int tw_record(struct tw_text *out, const char *key, const void *value, size_t size, struct prt_error *err)
{
	size_t rest = strlen(key) + size + 3; /* a blank, = and a newline */
	size_t total = rest + digits(rest);
	char length[24];

	/* The length counts its own digits. */
	total = rest + digits(total);
	(void)snprintf(length, sizeof length, "%zu ", total);
	if (tw_append(out, length, strlen(length), err) < 0 || tw_append(out, key, strlen(key), err) < 0)
		return -1;
	if (tw_append(out, "=", 1, err) < 0 || tw_append(out, value, size, err) < 0)
		return -1;
	return tw_append(out, "\n", 1, err);
}

static int number_record(struct tw_text *out, const char *key, uint64_t value, struct prt_error *err)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	return tw_record(out, key, text, strlen(text), err);
}

static int mtime_record(struct tw_text *out, struct timespec time, struct prt_error *err)
{
	long long seconds = time.tv_sec;
	unsigned long long whole = (unsigned long long)seconds;
	long ns = time.tv_nsec;
	const char *sign = seconds < 0 ? "-" : "";
	char text[40];

	if (seconds < 0) { /* -1.25 is -2 s and 750,000,000 ns */
		whole = 0 - (whole + (ns != 0));
		ns = ns ? 1000000000 - ns : 0;
	}
	(void)snprintf(text, sizeof text, "%s%llu.%09ld", sign, whole, ns);
	size_t size = strlen(text);
	while (text[size - 1] == '0')
		size--;
	return tw_record(out, "mtime", text, text[size - 1] == '.' ? size - 1 : size, err);
}

static int is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return 0;
	return 1;
}

/* How many bytes a well-formed character of UTF-8 has, 0 for anything else. */
static size_t utf8_length(const unsigned char *text)
{
	size_t more = text[0] < 0x80 ? 0 : text[0] < 0xe0 ? 1 : text[0] < 0xf0 ? 2 : 3;

	if ((text[0] >= 0x80 && text[0] < 0xc2) || text[0] > 0xf4)
		return 0;
	for (size_t i = 1; i <= more; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f))
		return 0;
	if ((text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return more + 1;
}

static int is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t length = 1;

	for (; *at && length; at += length)
		length = utf8_length(at);
	return length != 0;
}

static int fits(const char *name)
{
	return strlen(name) <= NAME_SIZE && is_ascii(name);
}

/* Whether seconds fit a header, and are all there is. */
static int is_plain(struct timespec time)
{
	return time.tv_sec >= 0 && time.tv_sec <= MAX_OCTAL && time.tv_nsec == 0;
}

/* The records of what does not fit, sorted by their keys, but for the one that says how names are to be read. */
static int records_of(struct tw_text *out, const struct tw_entry *entry, const struct tw_text *xattrs,
		      struct prt_error *err)
{
	int ret = 0;

	if (!is_utf8(entry->path) || !is_utf8(entry->target))
		ret = tw_record(out, "hdrcharset", "BINARY", 6, err);
	if (ret == 0 && xattrs->size)
		ret = tw_append(out, xattrs->bytes, xattrs->size, err);
	if (ret == 0 && entry->gid > MAX_ID)
		ret = number_record(out, "gid", entry->gid, err);
	if (ret == 0 && !fits(entry->target))
		ret = tw_record(out, "linkpath", entry->target, strlen(entry->target), err);
	if (ret == 0 && !is_plain(entry->mtime))
		ret = mtime_record(out, entry->mtime, err);
	if (ret == 0 && !fits(entry->path))
		ret = tw_record(out, "path", entry->path, strlen(entry->path), err);
	if (ret == 0 && entry->size > MAX_OCTAL)
		ret = number_record(out, "size", entry->size, err);
	if (ret == 0 && entry->uid > MAX_ID)
		ret = number_record(out, "uid", entry->uid, err);
	return ret;
}

static void put_octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = 0;
	for (size_t i = size - 1; i > 0; i--, value >>= 3)
		field[i - 1] = (char)('0' + (value & 7));
}

/* What does not fit is in a record, and here for those who do not read that: cut, and ASCII. */
static void put_name(char field[NAME_SIZE], const char *name)
{
	for (size_t i = 0; i < NAME_SIZE && name[i]; i++)
		field[i] = (unsigned char)name[i] < 0x80 ? name[i] : '?';
}

static int put_block(struct tw_text *out, const struct tw_entry *entry, struct prt_error *err)
{
	struct tw_ustar block = {.magic = "ustar", .version = {'0', '0'}, .type = entry->type};
	int64_t seconds = entry->mtime.tv_sec;
	unsigned sum = 0;

	put_name(block.name, entry->path);
	put_name(block.target, entry->target);
	put_octal(block.mode, sizeof block.mode, entry->mode);
	put_octal(block.uid, sizeof block.uid, entry->uid > MAX_ID ? 0 : entry->uid);
	put_octal(block.gid, sizeof block.gid, entry->gid > MAX_ID ? 0 : entry->gid);
	put_octal(block.size, sizeof block.size, entry->size > MAX_OCTAL ? 0 : entry->size);
	put_octal(block.mtime, sizeof block.mtime, seconds < 0 || seconds > MAX_OCTAL ? 0 : (uint64_t)seconds);
	if (entry->type == '3' || entry->type == '4') {
		put_octal(block.dev_major, sizeof block.dev_major, entry->dev_major);
		put_octal(block.dev_minor, sizeof block.dev_minor, entry->dev_minor);
	}
	memset(block.checksum, ' ', sizeof block.checksum);
	for (size_t i = 0; i < sizeof block; i++)
		sum += ((const unsigned char *)&block)[i];
	put_octal(block.checksum, 7, sum);
	return tw_append(out, &block, sizeof block, err);
}

int tw_header(struct tw_text *out, const struct tw_entry *entry, const struct tw_text *records, struct tw_text *scratch,
	      struct prt_error *err)
{
	static const char zeros[TW_BLOCK];

	scratch->size = 0;
	if (records_of(scratch, entry, records, err) < 0)
		return -1;
	if (scratch->size) {
		struct tw_entry pax = {
			.type = 'x', .mode = 0644, .size = scratch->size, .path = "././@PaxHeader", .target = ""};
		if (put_block(out, &pax, err) < 0 || tw_append(out, scratch->bytes, scratch->size, err) < 0)
			return -1;
		if (tw_append(out, zeros, -scratch->size & (TW_BLOCK - 1), err) < 0)
			return -1;
	}
	return put_block(out, entry, err);
}
