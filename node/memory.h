/* Gives back memory that start-up or a handshake needed and an idle agent does not. */
#ifndef HAWSER_NODE_MEMORY_H
#define HAWSER_NODE_MEMORY_H

/* Small processes from the start; first of all. */
void memory_init(void);

/* Opens what memory_trim() reads, for as long as it may be opened; -1 when there is none. */
int memory_open(void);

/* Frees what the allocator keeps, and lets go of the pages of programs and libraries: they come
 * back from the page cache when they are used again. In a process with one thread. */
void memory_trim(int fd);

#endif
