/*
 * spawn_floor COUNT: how soon this machine has begun and ended `true` so many times, in a process
 * of its own each. Prints the seconds. Nobody who runs a command on COUNT nodes of one machine is
 * faster.
 */
#include <sys/wait.h>

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 64

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
reap(void)
{
	int status;

	if (wait(&status) < 0 || status != 0) {
		fprintf(stderr, "spawn_floor: true did not end with 0\n");
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	char *const words[] = {(char *)"true", NULL};
	int count = argc == 2 ? atoi(argv[1]) : 0, running = 0;

	if (count <= 0) {
		fprintf(stderr, "usage: spawn_floor COUNT\n");
		return 2;
	}
	double begin = now();
	for (int i = 0; i < count; i++) {
		if (running == AT_ONCE) {
			reap();
			running--;
		}
		if (posix_spawnp(&(pid_t){0}, "true", NULL, NULL, words, environ) != 0) {
			perror("spawn_floor: true");
			return 1;
		}
		running++;
	}
	for (; running > 0; running--)
		reap();
	printf("%.6f\n", now() - begin);
	return 0;
}
