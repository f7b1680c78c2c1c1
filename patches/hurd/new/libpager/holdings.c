/* Who has which pages: four bytes a page that anybody has, and each different
   holding once (B1).

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include "coherence-priv.h"

static const struct holding nobody;

static struct chunk *
chunk_of (const struct holdings *t, int64_t page)
{
  return _map_get (&t->chunks, page / CHUNK_PAGES);
}

void
_holdings_init (struct holdings *t)
{
  memset (t, 0, sizeof *t);
  memset (vec_add (&t->kinds), 0, sizeof *t->kinds.v);
}

void
_holdings_free (struct holdings *t)
{
  for (size_t i = 0; i < t->kinds.n; i++)
    free (t->kinds.v[i].v);
  vec_free (&t->kinds);
  for (size_t i = 0; i < t->chunks.room; i++)
    free (t->chunks.v[i].value);
  _map_free (&t->chunks);
}

const struct holding *
_holding_at (const struct holdings *t, int64_t page)
{
  struct chunk *c = page < 0 ? 0 : chunk_of (t, page);
  uint32_t k = c ? c->words[page % CHUNK_PAGES] : 0;
  return k ? &t->kinds.v[k] : &nobody;
}

/* The first entry whose slot is not less.  */
static size_t
find (const struct holding *h, int slot)
{
  size_t a = 0, b = h->n;
  while (a < b)
    {
      size_t m = (a + b) / 2;
      if (SLOT (h->v[m]) < slot)
	a = m + 1;
      else
	b = m;
    }
  return a;
}

int
_holding_of (const struct holding *h, int slot, holder *x)
{
  size_t i = find (h, slot);
  int ok = i < h->n && SLOT (h->v[i]) == slot;
  if (x)
    *x = ok ? h->v[i] : 0;
  return ok;
}

/* The slot of the one who holds it for writing, or -1.  */
int
_holding_writer (const struct holding *h)
{
  return h->n == 1 && (h->v[0] & HOLDS_WRITE) ? SLOT (h->v[0]) : -1;	/* G1 */
}

static uint32_t
intern (struct holdings *t, const holder *v, size_t n)
{
  if (n == 0)
    return 0;
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < n; i++)
    hash = (hash ^ v[i]) * 16777619u;
  uint32_t *chain = &t->chains[hash % HOLDING_CHAINS];
  uint32_t k;
  for (k = *chain; k; k = t->kinds.v[k].next)
    {
      struct holding *h = &t->kinds.v[k];
      if (h->hash == hash && h->n == n && memcmp (h->v, v, n * sizeof *v) == 0)
	break;
    }
  if (! k)
    {
      if (t->free)
	{
	  k = t->free;
	  t->free = t->kinds.v[k].next;
	}
      else
	{
	  k = t->kinds.n;
	  vec_add (&t->kinds);
	}
      struct holding *h = &t->kinds.v[k];
      h->v = must (malloc (n * sizeof *v));
      memcpy (h->v, v, n * sizeof *v);
      h->n = n;
      h->pages = 0;
      h->hash = hash;
      h->next = *chain;
      *chain = k;
      t->live++;
    }
  t->kinds.v[k].pages++;
  return k;
}

static void
release (struct holdings *t, uint32_t k)
{
  if (! k)
    return;
  struct holding *h = &t->kinds.v[k];
  if (--h->pages > 0)
    return;
  uint32_t *p = &t->chains[h->hash % HOLDING_CHAINS];
  while (*p != k)
    p = &t->kinds.v[*p].next;
  *p = h->next;
  free (h->v);
  memset (h, 0, sizeof *h);
  if (--t->live == 0)		/* B2 */
    {
      vec_free (&t->kinds);
      memset (vec_add (&t->kinds), 0, sizeof *t->kinds.v);
      t->free = 0;
      return;
    }
  h->next = t->free;
  t->free = k;
}

static void
put (struct holdings *t, int64_t page, const holder *v, size_t n)
{
  struct chunk *c = chunk_of (t, page);
  if (! c)
    {
      c = must (calloc (1, sizeof *c));
      c->n = page / CHUNK_PAGES;
      _map_put (&t->chunks, c->n, c);
    }
  uint32_t *w = &c->words[page % CHUNK_PAGES];
  uint32_t old = *w;
  *w = intern (t, v, n);
  release (t, old);
  if (! old)
    c->used++;
  if (! *w && --c->used == 0)
    {
      _map_put (&t->chunks, c->n, 0);
      free (c);
    }
}

/* Changes how a slot holds a page; HOW has the slot.  Returns whether it did not
   hold it before.  */
int
_holdings_set (struct holdings *t, int64_t page, holder how)
{
  const struct holding *h = _holding_at (t, page);
  size_t i = find (h, SLOT (how)), n = h->n;
  int found = i < n && SLOT (h->v[i]) == SLOT (how);
  if (found && h->v[i] == how)
    return 0;
  holder few[16], *v = n < 16 ? few : must (malloc ((n + 1) * sizeof *v));
  if (n)
    memcpy (v, h->v, n * sizeof *v);
  if (! found)
    {
      memmove (v + i + 1, v + i, (n - i) * sizeof *v);
      n++;
    }
  v[i] = how;
  put (t, page, v, n);
  if (v != few)
    free (v);
  return ! found;
}

int
_holdings_remove (struct holdings *t, int64_t page, int slot)
{
  const struct holding *h = _holding_at (t, page);
  size_t i = find (h, slot), n = h->n;
  if (i == n || SLOT (h->v[i]) != slot)
    return 0;
  holder few[16], *v = n <= 16 ? few : must (malloc (n * sizeof *v));
  memcpy (v, h->v, n * sizeof *v);
  memmove (v + i, v + i + 1, (n - i - 1) * sizeof *v);
  put (t, page, v, n - 1);
  if (v != few)
    free (v);
  return 1;
}

/* The next page from FROM on and before END that anybody has, or -1.  */
int64_t
_holdings_next (const struct holdings *t, int64_t from, int64_t end)
{
  while (from < end && t->chunks.n)
    {
      int64_t n = from / CHUNK_PAGES;
      struct chunk *c = _map_get (&t->chunks, n);
      if (! c)
	{
	  for (size_t i = 0; i < t->chunks.room; i++)
	    {
	      struct chunk *x = t->chunks.v[i].value;
	      if (x && x->n > n && (! c || x->n < c->n))
		c = x;
	    }
	  if (! c)
	    return -1;
	  from = c->n * CHUNK_PAGES;
	}
      for (int i = from % CHUNK_PAGES; i < CHUNK_PAGES; i++)
	if (c->words[i])
	  {
	    int64_t page = c->n * CHUNK_PAGES + i;
	    return page < end ? page : -1;
	  }
      from = (c->n + 1) * CHUNK_PAGES;
    }
  return -1;
}
