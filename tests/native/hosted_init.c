/* pyrt-init on top of a libc, so that it can be watched by sanitizers: it starts as it does without. */
#include "../../csrc/init/main.c"

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] == 'k')
		run_keeper(argv + 2);
	if (argc > 1 && argv[1][0] == 'm')
		run_monitor();
	run_container(argc > 1 && argv[1][0] == 'e');
}
