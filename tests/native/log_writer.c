/* The log writer of the monitor as a program: it takes frames of a stream's number, a size and bytes, and logs them in the
 * directory it is in. log_writer MAX_BYTES MAX_FILES, or log_writer time: numbers of 64 bits, of which it prints the dates. */
#include "../../csrc/init/init.h"
#include "../../csrc/init/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t now;

uint64_t wall_ns(void)
{
	return now++;
}

static int times(void)
{
	char text[64];

	while (fread(&now, sizeof now, 1, stdin) == 1)
		printf("%.*s\n", (int)put_time(text, now), text);
	return 0;
}

int main(int argc, char **argv)
{
	static struct log log;
	uint32_t head[2];

	if (argc < 3)
		return times();
	log.max_bytes = strtoull(argv[1], NULL, 10);
	log.max_files = (unsigned)strtoul(argv[2], NULL, 10);
	log_open(&log);
	while (fread(head, sizeof head, 1, stdin) == 1) {
		char *from = malloc(head[1]); /* exactly as much, for who reads beyond it is to be seen */
		if (fread(from, 1, head[1], stdin) != head[1])
			return 2;
		log_chunk(&log, (int)head[0], from, head[1]);
		free(from);
	}
	log_end(&log);
	return log.lost != 0;
}
