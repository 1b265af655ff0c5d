#include <errno.h>

#include "prt_tar_reader.h"

#define CHECKSUM_AT 148
#define CHECKSUM_SIZE 8

int tar_digits(const char *text, size_t size, unsigned base, uint64_t *value)
{
	uint64_t sum = 0;

	if (size == 0)
		return -1;
	for (size_t i = 0; i < size; i++) {
		unsigned digit = (unsigned)(unsigned char)text[i] - '0';
		if (digit >= base || sum > (UINT64_MAX - digit) / base)
			return -1;
		sum = sum * base + digit;
	}
	*value = sum;
	return 0;
}

/* Two's complement, big-endian; the first byte's highest bit is the mark and not part of it. */
static int base_256(const unsigned char *field, size_t size, int64_t *value)
{
	int negative = field[0] == 0xff;
	uint64_t sum = negative ? UINT64_MAX : field[0] & 0x7f;

	for (size_t i = 1; i < size; i++) {
		uint64_t top = sum >> 55;
		if (top != 0 && top != (UINT64_MAX >> 55))
			return -1;
		sum = sum << 8 | field[i];
	}
	if (negative != (int)(sum >> 63))
		return -1;
	*value = (int64_t)sum;
	return 0;
}

int tar_field(const unsigned char *field, size_t size, int64_t *value)
{
	size_t from = 0, to;
	uint64_t sum;

	*value = 0;
	if (field[0] & 0x80)
		return base_256(field, size, value);
	while (from < size && field[from] == ' ')
		from++;
	to = from;
	while (to < size && field[to] && field[to] != ' ')
		to++;
	if (to == from)
		return 0;
	if (tar_digits((const char *)field + from, to - from, 8, &sum) < 0 || sum > INT64_MAX)
		return -1;
	*value = (int64_t)sum;
	return 0;
}

int tar_time(const char *text, size_t size, int64_t *seconds, uint32_t *ns)
{
	int negative = size > 0 && text[0] == '-';
	size_t from = negative ? 1 : 0, to = from;
	uint64_t whole = 0;
	uint32_t fraction = 0, unit = 100000000;

	while (to < size && text[to] != '.')
		to++;
	if (tar_digits(text + from, to - from, 10, &whole) < 0 || whole > INT64_MAX - 1)
		return -1;
	for (size_t i = to + 1; i < size; i++) {
		unsigned digit = (unsigned)(unsigned char)text[i] - '0';
		if (digit > 9)
			return -1;
		fraction += digit * unit;
		unit /= 10;
	}
	*seconds = negative ? -(int64_t)whole - (fraction > 0) : (int64_t)whole;
	*ns = negative && fraction > 0 ? 1000000000 - fraction : fraction;
	return 0;
}

int tar_checksum_is_right(const unsigned char *block)
{
	int64_t wanted, sum = 0, signed_sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		int is_sum = i >= CHECKSUM_AT && i < CHECKSUM_AT + CHECKSUM_SIZE;
		sum += is_sum ? ' ' : block[i];
		signed_sum += is_sum ? ' ' : (signed char)block[i];
	}
	if (tar_field(block + CHECKSUM_AT, CHECKSUM_SIZE, &wanted) < 0)
		return 0;
	return wanted == sum || wanted == signed_sum;
}
