/* Growing arrays, and maps from numbers.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#ifndef _CONTAINERS_H
#define _CONTAINERS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void *
must (void *p)
{
  if (! p)
    abort ();
  return p;
}

/* An array of N elements.  All zero is an empty one.  */
#define VEC(type) struct { type *v; size_t n, room; }

static inline void *
vec_room (void *v, size_t n, size_t *room, size_t size)
{
  if (n <= *room)
    return v;
  *room = n + n / 2 + 2;
  return must (realloc (v, *room * size));
}

/* An element more at the end, not set.  */
#define vec_add(a)							\
  ((a)->v = vec_room ((a)->v, (a)->n + 1, &(a)->room, sizeof *(a)->v),	\
   &(a)->v[(a)->n++])
#define vec_push(a, x) (*vec_add (a) = (x))
#define vec_remove(a, i)						\
  (memmove (&(a)->v[i], &(a)->v[(i) + 1],				\
	    ((a)->n - (i) - 1) * sizeof *(a)->v), (a)->n--)
#define vec_free(a) (free ((a)->v), (a)->v = 0, (a)->n = (a)->room = 0)

/* A map from numbers to pointers that are not null.  All zero is an empty one.  */
struct map
{
  size_t n, room;		/* room is a power of two or 0 */
  struct { int64_t key; void *value; } *v;
};

void *_map_get (const struct map *m, int64_t key);
void _map_put (struct map *m, int64_t key, void *value);	/* null removes */
void _map_free (struct map *m);

#endif
