/* The log, in Docker's json-file format: one object a line, rotated between lines. */
#include "init.h"
#include "monitor.h"

#define RECORD_ROOM (6 * MONITOR_PARTIAL + 128) /* each byte may become \u00xx */
#define NAME_ROOM 24

size_t put_text(char *to, const char *text)
{
	size_t size = length(text);

	memcpy(to, text, size);
	return size;
}

size_t put_number(char *to, uint64_t number, unsigned digits)
{
	char reversed[20];
	unsigned size = 0;

	for (; number || size < digits; number /= 10)
		reversed[size++] = (char)('0' + number % 10);
	for (unsigned i = 0; i < size; i++)
		to[i] = reversed[size - 1 - i];
	return size;
}

/* Of a day since 1970, by the calendar that begins in March, where a leap day comes last. */
static size_t put_date(char *to, uint64_t day)
{
	uint64_t era_day = (day + 719468) % 146097, era = (day + 719468) / 146097;
	uint64_t year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
	uint64_t year_day = era_day - (365 * year + year / 4 - year / 100), month = (5 * year_day + 2) / 153;
	size_t at = put_number(to, era * 400 + year + (month >= 10), 4);

	to[at++] = '-';
	at += put_number(to + at, month < 10 ? month + 3 : month - 9, 2);
	to[at++] = '-';
	return at + put_number(to + at, year_day - (153 * month + 2) / 5 + 1, 2);
}

size_t put_time(char *to, uint64_t ns)
{
	uint64_t seconds = ns / 1000000000u, units[] = {seconds / 3600 % 24, seconds / 60 % 60, seconds % 60};
	size_t at = put_date(to, seconds / 86400);

	for (unsigned i = 0; i < 3; i++) {
		to[at++] = i ? ':' : 'T';
		at += put_number(to + at, units[i], 2);
	}
	to[at++] = '.';
	at += put_number(to + at, ns % 1000000000u, 9);
	to[at++] = 'Z';
	return at;
}

static void rotated_name(char *name, unsigned number)
{
	size_t at = put_text(name, "log.");

	at += put_number(name + at, number, 1);
	name[at] = 0;
}

static void rename_log(const char *from, const char *to)
{
	(void)PRT_SYS(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0, 0);
}

static void shift(unsigned number)
{
	char from[NAME_ROOM], to[NAME_ROOM];

	rotated_name(from, number);
	rotated_name(to, number + 1);
	rename_log(from, to);
}

/* From the oldest down, which the last rename replaces. Readers need no lock and bear the moment without a log. */
static void rotate(struct log *log)
{
	prt_cleanup_fd(&log->fd);
	for (unsigned number = log->max_files - 1; number-- > 1;)
		shift(number);
	if (log->max_files < 2)
		(void)sys_unlinkat(AT_FDCWD, "log", 0);
	else
		rename_log("log", "log.1");
	log_open(log);
}

/* Who wrote the last line may have been killed at it, or the disk was full. */
void log_open(struct log *log)
{
	long size;
	char last = '\n';

	log->fd = sys_openat(AT_FDCWD, "log", O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0600);
	size = log->fd < 0 ? 0 : PRT_SYS(SYS_lseek, log->fd, 0, 2 /* SEEK_END */, 0, 0, 0);
	log->size = size < 0 ? 0 : (uint64_t)size;
	if (log->size)
		(void)sys_pread(log->fd, &last, 1, size - 1);
	log->is_torn = last != '\n';
}

/* A full disk costs lines, which are counted; the next one that fits begins a new line of the file. */
static void flush(struct log *log)
{
	size_t done = 0;

	if (log->used && log->fd < 0) /* there was no room for a new file */
		log_open(log);
	if (log->used && log->is_torn && log->fd >= 0 && sys_write(log->fd, "\n", 1) == 1) {
		log->is_torn = 0;
		log->size++;
	}
	while (done < log->used && !log->is_torn) {
		long n = log->fd < 0 ? -1 : PRT_RETRY(sys_write(log->fd, log->out + done, log->used - done));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < log->used) {
		log->is_torn |= done && log->out[done - 1] != '\n';
		log->lost += log->used - done;
	}
	log->size += done;
	log->used = 0;
	if (log->max_bytes && log->size >= log->max_bytes)
		rotate(log);
}

/* How many bytes the character at `from` has; 0: none that is UTF-8 (RFC 3629, 4). */
static size_t character(const unsigned char *from, size_t size)
{
	unsigned char first = from[0];
	size_t need = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;

	if (first < 0xC2 || first > 0xF4 || size < need)
		return 0;
	for (size_t i = 1; i < need; i++)
		if ((from[i] & 0xC0) != 0x80)
			return 0;
	if ((first == 0xE0 && from[1] < 0xA0) || (first == 0xED && from[1] > 0x9F) ||
	    (first == 0xF0 && from[1] < 0x90) || (first == 0xF4 && from[1] > 0x8F))
		return 0;
	return need;
}

static size_t put_escape(char *to, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";
	static const char named[] = "\"\"\\\\\nn\rr\tt";

	for (size_t i = 0; i < sizeof named - 1; i += 2) {
		if ((unsigned char)named[i] == byte) {
			to[0] = '\\';
			to[1] = named[i + 1];
			return 2;
		}
	}
	memcpy(to, "\\u00", 4);
	to[4] = digits[byte >> 4];
	to[5] = digits[byte & 15];
	return 6;
}

static size_t put_string(char *to, const unsigned char *from, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < size;) {
		unsigned char byte = from[i];
		if (byte >= 0x80) {
			size_t n = character(from + i, size - i);
			memcpy(to + at, n ? (const char *)from + i : "\\ufffd", n ? n : 6);
			at += n ? n : 6;
			i += n ? n : 1;
			continue;
		}
		if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7F)
			at += put_escape(to + at, byte);
		else
			to[at++] = (char)byte;
		i++;
	}
	return at;
}

static void put_record(struct log *log, int stream, const char *from, size_t size)
{
	if (log->used + RECORD_ROOM > sizeof log->out)
		flush(log);
	char *to = log->out + log->used;
	size_t at = put_text(to, "{\"log\":\"");
	at += put_string(to + at, (const unsigned char *)from, size);
	at += put_text(to + at,
		       stream == 1 ? "\",\"stream\":\"stdout\",\"time\":\"" : "\",\"stream\":\"stderr\",\"time\":\"");
	at += put_time(to + at, wall_ns());
	at += put_text(to + at, "\"}\n");
	log->used += at;
	if (log->max_bytes && log->size + log->used >= log->max_bytes)
		flush(log);
}

/* The end of the last whole character: a piece must not cut one. */
static size_t whole(const char *from, size_t size)
{
	for (size_t back = 1; back <= 3 && back < size; back++) {
		unsigned char byte = (unsigned char)from[size - back];
		if (byte < 0x80)
			break;
		if (byte >= 0xC0) {
			size_t need = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
			return need > back ? size - back : size;
		}
	}
	return size;
}

/* Takes what fits; a full piece is written, but for the beginning of a character. */
static size_t fill(struct log *log, int stream, const char *from, size_t size)
{
	char *partial = log->partial[stream - 1];
	size_t *used = &log->partial_size[stream - 1];
	size_t room = MONITOR_PARTIAL - *used, taken = size < room ? size : room;

	memcpy(partial + *used, from, taken);
	*used += taken;
	if (*used == MONITOR_PARTIAL) {
		size_t end = whole(partial, *used);
		put_record(log, stream, partial, end);
		memmove(partial, partial + end, *used - end);
		*used -= end;
	}
	return taken;
}

void log_chunk(struct log *log, int stream, const char *from, size_t size)
{
	size_t *used = &log->partial_size[stream - 1];

	while (size) {
		size_t line = 0;
		while (line < size && from[line] != '\n')
			line++;
		int is_whole = line < size;
		line += (size_t)is_whole;
		if (is_whole && !*used && line <= MONITOR_PARTIAL) {
			put_record(log, stream, from, line);
			from += line;
			size -= line;
			continue;
		}
		size_t taken = fill(log, stream, from, line);
		from += taken;
		size -= taken;
		if (is_whole && taken == line && *used) {
			put_record(log, stream, log->partial[stream - 1], *used);
			*used = 0;
		}
	}
	flush(log);
}

void log_end(struct log *log)
{
	for (int stream = 1; stream <= 2; stream++) {
		size_t *used = &log->partial_size[stream - 1];
		if (*used)
			put_record(log, stream, log->partial[stream - 1], *used);
		*used = 0;
	}
	flush(log);
}
