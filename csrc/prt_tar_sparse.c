#include <errno.h>
#include <stdlib.h>

#include "prt_tar_reader.h"

int tar_runs_add(struct prt_tar *tar, uint64_t offset, uint64_t size, struct prt_error *err)
{
	struct tar_runs *runs = &tar->runs;

	if (runs->count == runs->room) {
		size_t room = runs->room ? runs->room * 2 : 32;
		struct tar_run *list = NULL;

		if (room * sizeof *list / 4 > tar->limit)
			return prt_fail(err, EFBIG, "untar", tar->path, "its sparse map is too long");
		list = realloc(runs->list, room * sizeof *list);
		if (!list)
			return prt_fail(err, ENOMEM, "realloc", tar->path, NULL);
		runs->list = list;
		runs->room = room;
	}
	runs->list[runs->count++] = (struct tar_run){offset, size};
	return 0;
}

int tar_runs_add_fields(struct prt_tar *tar, const unsigned char *fields, unsigned count, struct prt_error *err)
{
	for (; count > 0 && fields[0]; count--, fields += 24) {
		int64_t offset, size;
		if (tar_field(fields, 12, &offset) < 0 || tar_field(fields + 12, 12, &size) < 0 || offset < 0 ||
		    size < 0)
			return tar_bad(tar, "its sparse map holds something that is no number", err);
		if (tar_runs_add(tar, (uint64_t)offset, (uint64_t)size, err) < 0)
			return -1;
	}
	return 0;
}

/* The number that begins at *at and ends before a comma or the end. */
static int next_number(const char *text, size_t size, size_t *at, uint64_t *value)
{
	size_t from = *at, to = from;

	while (to < size && text[to] != ',')
		to++;
	*at = to + 1;
	return from > size ? -1 : tar_digits(text + from, to - from, 10, value);
}

int tar_runs_add_list(struct prt_tar *tar, const char *text, size_t size, struct prt_error *err)
{
	uint64_t offset, length;

	for (size_t at = 0; at < size;) {
		if (next_number(text, size, &at, &offset) < 0 || next_number(text, size, &at, &length) < 0)
			return tar_bad(tar, "its sparse map holds something that is no number", err);
		if (tar_runs_add(tar, offset, length, err) < 0)
			return -1;
	}
	return 0;
}

/* A number of a 1.0 map is complete: first the count of pairs, then offset and size in turn. */
static int take_number(struct prt_tar *tar, struct prt_error *err)
{
	struct tar_runs *runs = &tar->runs;
	uint64_t number = runs->number;
	size_t index = runs->numbers++;

	runs->number = 0;
	runs->digits = 0;
	if (index == 0) {
		if (number > tar->limit / 4)
			return prt_fail(err, EFBIG, "untar", tar->path, "its sparse map is too long");
		runs->wanted = number;
		return 0;
	}
	if (index % 2)
		return tar_runs_add(tar, number, 0, err);
	runs->list[runs->count - 1].size = number;
	return 0;
}

int tar_runs_add_block(struct prt_tar *tar, const unsigned char *block, struct prt_error *err)
{
	struct tar_runs *runs = &tar->runs;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		unsigned digit = (unsigned)block[i] - '0';

		if (digit <= 9 && runs->digits < 19) {
			runs->number = runs->number * 10 + digit;
			runs->digits++;
			continue;
		}
		if (block[i] != '\n' || runs->digits == 0)
			return tar_bad(tar, "its sparse map holds something that is no number", err);
		if (take_number(tar, err) < 0)
			return -1;
		if (runs->numbers == 1 + 2 * runs->wanted)
			return 1;
	}
	return 0;
}

int tar_runs_check(struct prt_tar *tar, uint64_t size, struct prt_error *err)
{
	uint64_t end = 0, sum = 0;

	for (size_t i = 0; i < tar->runs.count; i++) {
		const struct tar_run *run = &tar->runs.list[i];
		if (run->offset < end || run->offset > tar->entry.size || run->size > tar->entry.size - run->offset)
			return tar_bad(tar, "its sparse map is not in order or leaves the file", err);
		end = run->offset + run->size;
		sum += run->size;
	}
	return sum == size ? 0 : tar_bad(tar, "its sparse map does not fit its data", err);
}
