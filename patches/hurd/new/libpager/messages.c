/* What kernels say, and what is said to them.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include <errno.h>
#include <stdio.h>
#include <mach/mig_errors.h>
#include <mach/vm_prot.h>

#include "priv.h"
#include "memory_control_U.h"
#include "memory_object_S.h"
#include "pager_info_S.h"

/* Messages of kernels.  Each but the first brings a send right of its control port,
   of which one is enough.  */

static void
let_go (mach_port_t port)
{
  if (MACH_PORT_VALID (port))
    mach_port_deallocate (mach_task_self (), port);
}

/* The pages of a message, or 0 if there is something wrong with it.  */
static int
pages_of (vm_offset_t offset, vm_size_t length, struct coh_range *r)
{
  if (offset % vm_page_size || length % vm_page_size || length == 0
      || offset + (length - 1) < offset)
    return 0;
  r->first = offset / vm_page_size;
  r->n = length / vm_page_size;
  return 1;
}

kern_return_t
_pager_S_memory_object_init (struct pager *p, mach_port_t control, mach_port_t name,
			     vm_size_t page_size)
{
  if (! p)
    return EOPNOTSUPP;
  _pager_begin (p);
  coh_client id;
  if (! MACH_PORT_VALID (control) || _pager_any_kernel (p, control))
    {
      let_go (control);		/* a second time */
      let_go (name);
    }
  else if (page_size == vm_page_size && coh_attach (p->coh, p->from != &p->own, &id) == 0)
    {
      struct kernel *k = must (calloc (1, sizeof *k));
      k->id = id;
      k->by = p->from;
      k->control = control;
      k->name = name;
      vec_push (&p->kernels, k);
      mach_port_t old = MACH_PORT_NULL;
      k->watched = 1;
      error_t err = mach_port_request_notification (mach_task_self (), control,
						    MACH_NOTIFY_DEAD_NAME, 1, k->by->port->port_right,
						    MACH_MSG_TYPE_MAKE_SEND_ONCE, &old);
      let_go (old);
      if (! err)
	ports_port_ref (k->by->port);	/* the notice's */
      else
	{
	  k->watched = 0;
	  coh_gone (p->coh, id);
	  _pager_remove_kernel (p, k, 0);
	}
    }
  else
    _pager_refuse_kernel (p, control, name);
  _pager_end (p);
  return 0;
}

kern_return_t
_pager_S_memory_object_terminate (struct pager *p, mach_port_t control, mach_port_t name)
{
  if (! p)
    return EOPNOTSUPP;
  _pager_begin (p);
  struct kernel *k = _pager_any_kernel (p, control);
  if (k && k->by != p->from)
    k = 0;
  if (k)
    {
      coh_terminated (p->coh, k->id);
      if (k->name != name)
	{
	  mach_port_t x = k->name;
	  k->name = name;
	  name = x;
	}
      else
	name = MACH_PORT_NULL;
      _pager_remove_kernel (p, k, 1);
    }
  else if (MACH_PORT_VALID (control))
    mach_port_destroy (mach_task_self (), control);
  _pager_end (p);
  if (k)
    let_go (name);
  else if (MACH_PORT_VALID (name))
    mach_port_destroy (mach_task_self (), name);
  return 0;
}

#define FROM_KERNEL(p, control, offset, length, call)			\
  do									\
    {									\
      if (! p)								\
	return EOPNOTSUPP;						\
      struct coh_range r;						\
      _pager_begin (p);							\
      struct kernel *k = _pager_kernel (p, control);			\
      if (k && pages_of (offset, length, &r))				\
	{								\
	  call;								\
	}								\
      _pager_end (p);							\
      let_go (control);							\
      return 0;								\
    }									\
  while (0)

kern_return_t
_pager_S_memory_object_data_request (struct pager *p, mach_port_t control, vm_offset_t offset,
				     vm_size_t length, vm_prot_t access)
{
  FROM_KERNEL (p, control, offset, length,
	       p->count.requests += r.n;
	       coh_request (p->coh, k->id, r, access & VM_PROT_WRITE ? COH_READ | COH_WRITE : COH_READ));
}

kern_return_t
_pager_S_memory_object_data_unlock (struct pager *p, mach_port_t control, vm_offset_t offset,
				    vm_size_t length, vm_prot_t access)
{
  FROM_KERNEL (p, control, offset, length,
	       p->count.unlocks += r.n;
	       coh_unlock (p->coh, k->id, r, access & VM_PROT_WRITE ? COH_READ | COH_WRITE : COH_READ));
}

kern_return_t
_pager_S_memory_object_lock_completed (struct pager *p, mach_port_t control, vm_offset_t offset,
				       vm_size_t length)
{
  FROM_KERNEL (p, control, offset, length, coh_lock_completed (p->coh, k->id, r));
}

/* Notes that the user is to be told of pages that a kernel has parted with.  */
static void
evicted (struct pager *p, struct coh_range r)
{
  for (int64_t n = r.first; n < r.first + r.n; n++)
    {
      intptr_t mark = (intptr_t) _map_get (&p->marks, n);
      if (! (mark & MARK_EVICTED) && p->marks.n < MAX_MARKS)
	{
	  _map_put (&p->marks, n, (void *) (mark | MARK_EVICTED));
	  vec_push (&p->evicted, n);
	}
    }
}

kern_return_t
_pager_S_memory_object_data_return (struct pager *p, mach_port_t control, vm_offset_t offset,
				    vm_offset_t data, mach_msg_type_number_t length,
				    boolean_t dirty, boolean_t kept)
{
  if (! p)
    return EOPNOTSUPP;
  struct coh_range r;
  _pager_begin (p);
  struct kernel *k = _pager_kernel (p, control);
  /* A kernel does not take back what does not begin at a page.  */
  if (k && data % vm_page_size == 0 && pages_of (offset, length, &r))
    {
      p->count.returned += r.n;
      coh_data *list = must (malloc (r.n * sizeof *list));
      for (int64_t i = 0; i < r.n; i++)
	{
	  struct datum *d = list[i] = must (malloc (sizeof *d));
	  d->page = data + i * vm_page_size;
	  d->refs = 1;
	}
      coh_returned (p->coh, k->id, r.first, list, r.n, dirty, kept);
      free (list);
      if (p->notify_on_evict && ! kept)
	evicted (p, r);
    }
  else if (length)
    munmap ((void *) data, length);
  _pager_end (p);
  let_go (control);
  return 0;
}

kern_return_t
_pager_S_memory_object_change_completed (struct pager *p, boolean_t may_cache,
					 memory_object_copy_strategy_t copy)
{
  (void) may_cache, (void) copy;
  if (! p)
    return EOPNOTSUPP;
  _pager_begin (p);
  /* It does not say whose it is: they are counted.  */
  for (size_t i = 0; i < p->kernels.n; i++)
    if (p->kernels.v[i]->attributes)
      {
	p->kernels.v[i]->attributes--;
	pthread_cond_broadcast (&p->wakeup);
	break;
      }
  _pager_end (p);
  return 0;
}

/* What netmsg says.  */

kern_return_t
_pager_S_pager_info (struct pager *p, pager_text_t text, mach_msg_type_number_t *length)
{
  if (! p)
    return EOPNOTSUPP;
  _pager_begin (p);
  *length = snprintf (text, sizeof (pager_text_t),
		      "clients %d\nrequests %lu\nunlocks %lu\nsupplied %lu\nmost %lu\nreturned %lu\n"
		      "locks %lu\nfailed %lu\nloaded %lu\nstored %lu\n",
		      coh_clients (p->coh), p->count.requests, p->count.unlocks, p->count.supplied,
		      p->count.most, p->count.returned, p->count.locks, p->count.failed,
		      p->count.loaded, p->count.stored);
  _pager_end (p);
  return 0;
}

kern_return_t
_pager_S_pager_detach (struct pager *p, mach_port_t control)
{
  if (! p)
    return EOPNOTSUPP;
  _pager_begin (p);
  struct kernel *k = _pager_any_kernel (p, control);
  if (k && k->by == p->from)
    {
      coh_terminated (p->coh, k->id);
      _pager_remove_kernel (p, k, 0);
    }
  _pager_end (p);
  let_go (control);
  return 0;
}

/* These are asked for by nobody.  */

kern_return_t
_pager_S_memory_object_copy (struct pager *p, mach_port_t control, vm_offset_t offset,
			     vm_size_t length, mach_port_t new)
{
  (void) p, (void) control, (void) offset, (void) length, (void) new;
  return EOPNOTSUPP;		/* which has the message destroyed */
}

kern_return_t
_pager_S_memory_object_supply_completed (struct pager *p, mach_port_t control, vm_offset_t offset,
					 vm_size_t length, kern_return_t result,
					 vm_offset_t error_offset)
{
  (void) p, (void) control, (void) offset, (void) length, (void) result, (void) error_offset;
  return EOPNOTSUPP;
}

/* Messages to kernels.  */

#undef mach_msg

/* Stands for mach_msg in the stubs: a message that cannot be sent at once is not
   sent, and nothing of it is left behind.  */
mach_msg_return_t
_pager_mach_msg (mach_msg_header_t *m, mach_msg_option_t option, mach_msg_size_t size,
		 mach_msg_size_t receive, mach_port_t port, mach_msg_timeout_t timeout,
		 mach_port_t notify)
{
  (void) receive, (void) timeout;
  mach_msg_return_t err = mach_msg (m, option | MACH_SEND_TIMEOUT, size, 0, port, 0, notify);
  if (err == MACH_SEND_TIMED_OUT)
    mach_msg_destroy (m);
  return err;
}

static error_t
sent (error_t err, mach_port_t right)
{
  /* What was not sent because nobody is there is still ours.  */
  if (err && err != MACH_SEND_TIMED_OUT)
    let_go (right);
  return err;
}

error_t
_pager_tell (mach_port_t control, struct message *m, mach_port_t reply)
{
  struct coh_action *a = &m->a;
  vm_offset_t offset = a->range.first * vm_page_size;
  vm_size_t size = a->range.n * vm_page_size;
  switch (a->what)
    {
    case COH_READY:
      return _pager_send_ready (control, a->attributes.may_cache, a->attributes.copy);
    case COH_CHANGE_ATTRIBUTES:
      return sent (_pager_send_change_attributes (control, a->attributes.may_cache,
						  a->attributes.copy, reply), reply);
    case COH_SUPPLY:
      {
	/* They follow each other in memory.  */
	struct datum *d = a->data[0];
	return _pager_send_data_supply (control, offset, d->page, size,
					a->forbid_write ? VM_PROT_WRITE : VM_PROT_NONE,
					a->precious, MACH_PORT_NULL);
      }
    case COH_LOCK:
      return sent (_pager_send_lock_request (control, offset, size,
					     a->ret == COH_RETURN_ALL ? MEMORY_OBJECT_RETURN_ALL
					     : a->ret == COH_RETURN_DIRTY ? MEMORY_OBJECT_RETURN_DIRTY
					     : MEMORY_OBJECT_RETURN_NONE,
					     a->flush,
					     /* A page that cannot go keeps its lock.  */
					     a->flush ? VM_PROT_NO_CHANGE
					     : a->forbid_write ? VM_PROT_WRITE : VM_PROT_NONE,
					     reply), reply);
    case COH_FAIL:
      return _pager_send_data_error (control, offset, size, EIO);
    default:
      return _pager_send_destroy (control, EIO);
    }
}
