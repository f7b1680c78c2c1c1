/* Maps from numbers: open addressing, with linear probing.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include "containers.h"

static size_t
home (const struct map *m, int64_t key)
{
  uint64_t x = (uint64_t) key * UINT64_C (0x9e3779b97f4a7c15);
  return (size_t) (x >> 32) & (m->room - 1);
}

/* The place of KEY, or the empty one where it would be.  */
static size_t
place (const struct map *m, int64_t key)
{
  size_t i = home (m, key);
  while (m->v[i].value && m->v[i].key != key)
    i = (i + 1) & (m->room - 1);
  return i;
}

void *
_map_get (const struct map *m, int64_t key)
{
  return m->n == 0 ? 0 : m->v[place (m, key)].value;
}

static void
resize (struct map *m, size_t room)
{
  struct map new = { 0, room, must (calloc (room, sizeof *m->v)) };
  for (size_t i = 0; i < m->room; i++)
    if (m->v[i].value)
      {
	new.v[place (&new, m->v[i].key)] = m->v[i];
	new.n++;
      }
  free (m->v);
  *m = new;
}

static void
drop (struct map *m, size_t i)
{
  m->v[i].value = 0;
  m->n--;
  /* Those behind that would not be found any more move up.  */
  for (size_t j = (i + 1) & (m->room - 1); m->v[j].value; j = (j + 1) & (m->room - 1))
    {
      size_t h = home (m, m->v[j].key);
      if (((j - h) & (m->room - 1)) >= ((j - i) & (m->room - 1)))
	{
	  m->v[i] = m->v[j];
	  m->v[j].value = 0;
	  i = j;
	}
    }
  if (m->n == 0)
    _map_free (m);
  else if (m->room > 16 && m->n * 8 < m->room)
    resize (m, m->room / 4);
}

void
_map_put (struct map *m, int64_t key, void *value)
{
  if (! value)
    {
      if (m->n)
	{
	  size_t i = place (m, key);
	  if (m->v[i].value)
	    drop (m, i);
	}
      return;
    }
  if ((m->n + 1) * 4 > m->room * 3)
    resize (m, m->room ? m->room * 2 : 8);
  size_t i = place (m, key);
  if (! m->v[i].value)
    {
      m->n++;
      m->v[i].key = key;
    }
  m->v[i].value = value;
}

void
_map_free (struct map *m)
{
  free (m->v);
  memset (m, 0, sizeof *m);
}
